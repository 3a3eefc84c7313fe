import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn import metrics as sk
from training_cases import (
    ClosedTanh,
    Counting,
    assert_close,
    batches,
    digits,
    initial_params,
    labelled,
    leaves_equal,
    tanh_cross_entropy,
    traces,
    train_plainly,
)

from mlp_jax import Activation, BatchNorm, Dense, Sequential, mlp
from mlp_jax.backprop import get_loss
from mlp_jax.data import Split, apply, fit_scaling, from_arrays, split
from mlp_jax.errors import DeviceError, DivergedError, InputError, ProofError, UnknownNameError
from mlp_jax.proof.faults import FAULTS, inject
from mlp_jax.training import calls
from mlp_jax.training.fit import fit
from mlp_jax.training.optimizers import OPTIMIZERS, Optimizer

TANH = mlp([6], 3, "tanh")
CROSS_ENTROPY = "softmax_cross_entropy"


def decay_mask(params):
    return jax.tree.map(lambda leaf: leaf.ndim == 2, params)


@pytest.mark.usefixtures("unproved", "optax_promotes")
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Optimizer("sgd", 0.3), optax.sgd(0.3)),
        (Optimizer("adam", 0.02), optax.adam(0.02)),
        (
            Optimizer("adamw", 0.02, weight_decay=0.1),
            optax.adamw(0.02, weight_decay=0.1, mask=decay_mask),
        ),
        (
            Optimizer("sgd", 0.3, schedule="cosine", clip_norm=0.5),
            optax.chain(
                optax.clip_by_global_norm(0.5), optax.sgd(optax.cosine_decay_schedule(0.3, 15))
            ),
        ),
    ],
    ids=["sgd", "adam", "adamw", "clipped-cosine"],
)
def test_a_trajectory_is_that_of_a_plain_loop_with_a_short_last_batch(ours, theirs, x64):
    x, y = labelled(23)
    fitted = fit(
        TANH, CROSS_ENTROPY, ours, (x, y), epochs=3, batch_size=5, seed=7, precision="float64"
    )
    params, losses = train_plainly(
        tanh_cross_entropy, initial_params(TANH, 7, 4), theirs, x, y, size=5, seed=7, epochs=3
    )
    assert [record["train_loss"] for record in fitted.history] == pytest.approx(losses, rel=1e-12)
    assert [record["step"] for record in fitted.history] == [5, 10, 15]
    assert_close(fitted.params, params, 1e-12)


@pytest.mark.usefixtures("unproved")
def test_batch_norm_leaves_the_padding_of_a_short_batch_out(x64):
    x, y = labelled(23)
    network = Sequential((Dense(5), BatchNorm(), Activation("tanh"), Dense(3)))

    def objective(params, x, y):
        z = x @ params[0]["W"] + params[0]["b"][None, :]
        z = (z - z.mean(0)[None, :]) / jnp.sqrt(z.var(0) + 1e-5)[None, :]
        z = z * params[1]["scale"][None, :] + params[1]["shift"][None, :]
        return tanh_cross_entropy(params[-1:], jnp.tanh(z), y)

    fitted = fit(network, CROSS_ENTROPY, "sgd", (x, y), epochs=2, batch_size=5, precision="float64")
    start = initial_params(network, 0, 4)
    params, losses = train_plainly(objective, start, optax.sgd(0.1), x, y, size=5, seed=0, epochs=2)
    assert [record["train_loss"] for record in fitted.history] == pytest.approx(losses, rel=1e-10)
    assert_close(fitted.params[1:], params[1:], 1e-10)

    once = fit(
        network, CROSS_ENTROPY, Optimizer("sgd", 1e-30), (x, y),
        epochs=1, batch_size=5, precision="float64",
    )  # fmt: skip
    mean, variance = np.zeros(5), np.ones(5)
    for rows in batches(23, 5, 0, 1):
        z = x[rows].astype(np.float64) @ np.asarray(start[0]["W"])
        mean, variance = 0.9 * mean + 0.1 * z.mean(0), 0.9 * variance + 0.1 * z.var(0)
    assert np.asarray(once.layer_state[1]["mean"]) == pytest.approx(mean, rel=1e-10)
    assert np.asarray(once.layer_state[1]["variance"]) == pytest.approx(variance, rel=1e-10)


@pytest.mark.usefixtures("unproved")
def test_equal_seeds_give_equal_bits_and_other_seeds_other_weights():
    network = mlp([8], 3, dropout=0.3)
    runs = [
        fit(network, CROSS_ENTROPY, "sgd", labelled(40), epochs=2, batch_size=16, seed=seed,
            validation=0.25)
        for seed in (1, 1, 2)
    ]  # fmt: skip
    assert runs[0].history == runs[1].history
    assert leaves_equal(runs[0].params, runs[1].params)
    assert runs[0].history != runs[2].history
    assert not leaves_equal(runs[0].params, runs[2].params)


@pytest.mark.usefixtures("unproved")
def test_an_epoch_cut_into_calls_is_the_same_epoch(monkeypatch):
    def run():
        ticks = []
        fitted = fit(
            mlp([8], 3, dropout=0.2), CROSS_ENTROPY, "momentum", labelled(45), epochs=2,
            batch_size=10, tick=lambda *tick: ticks.append(tick),
        )  # fmt: skip
        return fitted, ticks

    whole, ticks = run()
    assert [(epoch, done) for epoch, done, *_ in ticks] == [(1, 1.0), (2, 1.0)]
    for name, value in (("SECONDS_A_CALL", 1e-9), ("steps_a_call", lambda *_: 2)):
        monkeypatch.setattr(calls, name, value)
        parts, ticks = run()
        # Calls of other lengths are other programs, which may round otherwise; a run keeps to one.
        for ours, theirs in zip(*map(jax.tree.leaves, (parts.params, whole.params)), strict=True):
            assert_close(ours, theirs, 1e-6)
        for ours, expected in zip(parts.history, whole.history, strict=True):
            assert ours == pytest.approx(expected, rel=1e-6)
        shares = [done for epoch, done, *_ in ticks if epoch == 1]
        assert shares in ([0.2, 0.4, 0.6, 0.8, 1.0], [0.4, 0.8, 1.0])
        assert ticks[-1][2] == pytest.approx(parts.history[-1]["train_loss"])


@pytest.mark.usefixtures("unproved")
def test_nothing_is_traced_again_after_the_first_epoch():
    network, seen = Sequential((Dense(5, "relu"), Counting(), Dense(3))), []
    traces.clear()

    def count(end):
        end.look()
        seen.append(len(traces))

    fit(
        network, CROSS_ENTROPY, "momentum", labelled(33), epochs=4, batch_size=8,
        validation=0.2, callbacks=[count],
    )  # fmt: skip
    assert len(seen) == 4
    assert len(set(seen)) == 1


@pytest.mark.usefixtures("unproved")
def test_whole_weights_are_as_rows_that_occur_so_often(x64):
    x, y = labelled(12)
    times = np.array([1, 2, 3, 0, 1, 1, 2, 1, 1, 3, 0, 1])
    options = {"epochs": 3, "precision": "float64"}
    weighed = fit(TANH, CROSS_ENTROPY, "sgd", (x, y), batch_size=12, sample_weight=times, **options)
    again = np.repeat(np.arange(12), times)
    repeated = fit(TANH, CROSS_ENTROPY, "sgd", (x[again], y[again]), batch_size=16, **options)
    assert_close(weighed.params, repeated.params, 1e-12)
    for ours, expected in zip(weighed.history, repeated.history, strict=True):
        assert ours["train_loss"] == pytest.approx(expected["train_loss"], rel=1e-12)


@pytest.mark.usefixtures("unproved")
def test_weights_follow_their_rows_through_the_validation_split():
    x, y = labelled(40)
    weights = np.random.default_rng(1).uniform(0.1, 2, 40)
    options = {"epochs": 2, "batch_size": 8}
    held_out = fit(
        TANH, CROSS_ENTROPY, "sgd", (x, y), validation=0.25, sample_weight=weights, **options
    )
    numbered = from_arrays("rows", np.hstack([x, weights[:, None].astype(np.float32)]), y)
    parts = split(numbered, test=None, validation=0.25, seed=0)
    rows = parts.train
    given = fit(
        TANH, CROSS_ENTROPY, "sgd", (rows.x[:, :4], rows.y), sample_weight=rows.x[:, 4],
        validation=(parts.validation.x[:, :4], parts.validation.y), **options,
    )  # fmt: skip
    assert held_out.history == given.history


@pytest.mark.usefixtures("unproved")
def test_class_weights_are_weights_of_the_rows_of_a_class():
    x, y = labelled(30)
    each = np.array([1.0, 0.25, 3.0])
    options = {"epochs": 2, "batch_size": 8}
    by_class = fit(TANH, CROSS_ENTROPY, "sgd", (x, y), class_weight=tuple(each), **options)
    by_row = fit(TANH, CROSS_ENTROPY, "sgd", (x, y), sample_weight=each[y], **options)
    assert by_class.history == by_row.history
    balanced = fit(TANH, CROSS_ENTROPY, "sgd", (x, y), class_weight="balanced", **options)
    usual = 30 / (3 * np.bincount(y))
    by_row = fit(TANH, CROSS_ENTROPY, "sgd", (x, y), sample_weight=usual[y], **options)
    assert [r["train_loss"] for r in balanced.history] == pytest.approx(
        [r["train_loss"] for r in by_row.history], rel=1e-6
    )


@pytest.mark.usefixtures("unproved", "optax_promotes")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_learns_digits(name):
    fitted = fit(mlp([16], 10), CROSS_ENTROPY, name, digits(150), epochs=6, batch_size=30)
    losses = [record["train_loss"] for record in fitted.history]
    assert losses[-1] < 0.98 * losses[0]
    if name == "lbfgs":
        assert fitted.history[-1]["step"] == 6
        assert losses == sorted(losses, reverse=True)


@pytest.mark.usefixtures("unproved")
def test_neither_a_step_nor_the_line_search_of_lbfgs_asks_jax_for_a_gradient():
    x, y = labelled(30)
    closed = Sequential((Dense(6), ClosedTanh(), Dense(3)))
    with pytest.raises(AssertionError, match="JAX differentiated"):
        jax.grad(
            lambda a: ClosedTanh().forward({}, (), a, train=True, key=None, mask=None)[0].sum()
        )(jnp.ones((1, 2)))
    fitted = fit(closed, CROSS_ENTROPY, "lbfgs", (x, y), epochs=8)
    losses = [record["train_loss"] for record in fitted.history]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.3 * losses[0]
    fit(closed, CROSS_ENTROPY, "sgd", (x, y), epochs=1, batch_size=10)


@pytest.mark.usefixtures("unproved")
def test_the_moving_average_is_the_recursion_over_the_steps():
    seen = []
    x, y = labelled(20)
    fitted = fit(
        TANH, CROSS_ENTROPY, "sgd", (x, y), epochs=4, batch_size=20, average=0.7,
        callbacks=[lambda end: seen.append(jax.device_get(end.state.params))],
    )  # fmt: skip
    params, _ = TANH.init(jax.random.fold_in(jax.random.key(np.uint32(0)), 0), 4)
    expected = jax.tree.map(np.asarray, params)
    for params in seen:
        expected = jax.tree.map(lambda m, p: 0.7 * m + 0.3 * p, expected, params)
    assert_close(fitted.params, expected, 1e-6)
    assert not leaves_equal(fitted.params, seen[-1])


@pytest.mark.usefixtures("unproved")
def test_patience_stops_and_gives_back_the_best_weights():
    x, y = labelled(40)
    misled = (x[:12], (y[:12] + 1) % 3)
    kept = []
    fitted = fit(
        TANH, CROSS_ENTROPY, Optimizer("sgd", 1.0), (x, y), epochs=50, batch_size=40,
        validation=misled, patience=3, monitor="loss", seed=3,
        callbacks=[lambda end: kept.append(jax.device_get(end.state.params))],
    )  # fmt: skip
    losses = [record["validation_loss"] for record in fitted.history]
    assert len(losses) < 50
    assert fitted.best_epoch == int(np.argmin(losses)) + 1
    assert len(losses) == fitted.best_epoch + 3
    assert leaves_equal(fitted.params, kept[fitted.best_epoch - 1])


@pytest.mark.usefixtures("unproved")
def test_callbacks_see_the_records_and_can_stop():
    seen = []

    def stop_after_two(end):
        seen.append((end.epoch, dict(end.metrics), end.samples_per_second))
        return end.epoch == 2

    fitted = fit(
        TANH, CROSS_ENTROPY, "sgd", labelled(30), epochs=9, batch_size=8, validation=0.2,
        metrics=("accuracy", "log_loss"), callbacks=[stop_after_two],
    )  # fmt: skip
    assert len(fitted.history) == fitted.best_epoch == 2
    assert [record for _, record, _ in seen] == list(fitted.history)
    assert set(seen[0][1]) == {
        "epoch", "step", "train_loss", "validation_loss", "validation_accuracy",
        "validation_log_loss",
    }  # fmt: skip
    assert all(speed > 0 for *_, speed in seen)


@pytest.mark.usefixtures("unproved")
def test_a_step_that_is_not_finite_names_the_step_and_the_layer():
    kept = []
    with pytest.raises(DivergedError) as caught:
        fit(
            mlp([8, 8], 3), CROSS_ENTROPY, Optimizer("sgd", 1e30), labelled(40), epochs=3,
            batch_size=20, callbacks=[lambda end: kept.append(end)],
        )  # fmt: skip
    assert str(caught.value).startswith("Training diverged at step 2 (epoch 1): ")
    assert "layer 1 Dense(8, relu)" in str(caught.value)
    assert kept == []


@pytest.mark.usefixtures("unproved")
def test_an_update_that_is_not_finite_is_not_applied():
    with pytest.raises(DivergedError, match=r"step 1 \(epoch 1\): the update of the optimizer"):
        fit(TANH, CROSS_ENTROPY, optax.scale(-np.inf), labelled(20), epochs=1, batch_size=20)


@pytest.mark.usefixtures("unproved")
def test_weights_that_overflow_in_the_last_step_are_not_returned():
    x, y = labelled(20)
    steep = Optimizer("sgd", 1e38)
    with pytest.raises(DivergedError, match="not finite"):
        fit(mlp([], 3), CROSS_ENTROPY, steep, (1000 * x, y), epochs=1, batch_size=20)


@pytest.mark.usefixtures("unproved")
def test_validation_metrics_are_those_of_scikit_learn():
    x, y = labelled(60)
    fitted = fit(
        TANH, CROSS_ENTROPY, "sgd", (x[:40], y[:40]), epochs=2, batch_size=8,
        validation=(x[40:], y[40:]),
        metrics=("accuracy", "log_loss", "f1", "roc_auc", "top2"),
    )  # fmt: skip
    p, found = fitted.predict(x[40:]).astype(np.float64), fitted.history[-1]
    truth = y[40:]
    p /= p.sum(axis=1, keepdims=True)
    expected = {
        "validation_accuracy": sk.accuracy_score(truth, p.argmax(1)),
        "validation_log_loss": sk.log_loss(truth, p),
        "validation_loss": sk.log_loss(truth, p),
        "validation_f1": sk.f1_score(truth, p.argmax(1), average="macro"),
        "validation_roc_auc": sk.roc_auc_score(truth, p, multi_class="ovr"),
        "validation_top2": sk.top_k_accuracy_score(truth, p, k=2),
    }
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=1e-5), name


@pytest.mark.usefixtures("unproved")
def test_the_validation_fraction_has_its_share_of_every_class():
    x, y = labelled(200)
    sizes = []
    y = np.repeat(np.arange(3), (100, 60, 40)).astype(np.int32)
    fit(
        TANH, CROSS_ENTROPY, "sgd", (x, y), epochs=1, batch_size=160, validation=0.2,
        metrics=("accuracy",),
        callbacks=[lambda end: sizes.append(end.metrics["validation_accuracy"] * 40)],
    )  # fmt: skip
    assert sizes[0] == pytest.approx(round(sizes[0]))  # of the 40 rows that were held out
    rows = split(from_arrays("all", x, y), test=None, validation=0.2, seed=0)
    assert np.bincount(rows.validation.y).tolist() == [20, 12, 8]


@pytest.mark.usefixtures("unproved")
@pytest.mark.parametrize("loss", ["squared_error", "sigmoid_cross_entropy", "hinge", "focal"])
def test_labels_train_by_losses_of_other_kinds(loss):
    rows = digits(120)
    optimizer = Optimizer("rmsprop", 0.01)
    fitted = fit(mlp([16], 10), loss, optimizer, rows, epochs=20, batch_size=32, validation=0.2)
    assert fitted.history[-1]["train_loss"] < fitted.history[0]["train_loss"]
    assert fitted.history[-1]["validation_accuracy"] > 0.2
    found, predictions = fitted.evaluate(rows, ("accuracy",))
    assert predictions.shape == (120, 10)
    assert found["accuracy"] == pytest.approx((predictions.argmax(1) == rows.y).mean())


@pytest.mark.usefixtures("unproved")
def test_numbers_train_and_are_predicted():
    x, _ = labelled(60)
    y = (x @ np.array([[1.0, 0.5], [0, 1], [2, 0], [0, 0]], np.float32)).astype(np.float32)
    fitted = fit(
        mlp([16], 2, "tanh"), "squared_error", "sgd", (x, y), epochs=40, batch_size=20,
        validation=0.2,
    )  # fmt: skip
    assert set(fitted.history[0]) >= {"validation_rmse", "validation_r2"}
    assert fitted.history[-1]["validation_r2"] > 0.8
    s = fitted.predict(x)
    assert fitted.evaluate((x, y))[0]["loss"] == pytest.approx(np.mean((s - y) ** 2), rel=1e-5)


@pytest.mark.usefixtures("unproved")
def test_one_column_of_targets_may_be_flat():
    x, _ = labelled(32)
    y = np.exp(x[:, 0]).round()
    flat, column = (
        fit(mlp([4], 1), "poisson", Optimizer("sgd", 0.01), (x, target), epochs=2, batch_size=16)
        for target in (y, y[:, None])
    )
    assert flat.history == column.history
    rates = flat.predict(x)
    assert rates.shape == (32, 1)
    assert (rates > 0).all()


@pytest.mark.usefixtures("unproved")
def test_two_classes_may_have_a_single_output():
    x, y = labelled(60)
    labels = (y > 0).astype(np.int32)
    fitted = fit(
        mlp([8], 1), "sigmoid_cross_entropy", "sgd", (x, labels), epochs=15, batch_size=12,
        validation=0.2, metrics=("accuracy", "roc_auc"),
    )  # fmt: skip
    p = fitted.predict(x)
    assert p.shape == (60, 1)
    assert ((p > 0) & (p < 1)).all()
    found, _ = fitted.evaluate((x, labels), ("accuracy", "roc_auc"))
    assert found["accuracy"] == pytest.approx(((p[:, 0] > 0.5) == labels).mean())
    assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(labels, p[:, 0]))
    assert found["accuracy"] > 0.75


@pytest.mark.usefixtures("unproved")
def test_a_row_may_have_several_labels():
    x, _ = labelled(60)
    y = (x[:, :2] > 0).astype(np.float32)
    fitted = fit(
        mlp([8], 2), "sigmoid_cross_entropy", "sgd", (x, y), epochs=15, batch_size=12,
        validation=0.2,
    )  # fmt: skip
    assert fitted.n_classes == 0
    found, p = fitted.evaluate((x, y), ("accuracy", "f1"))
    assert found["accuracy"] == pytest.approx(((p > 0.5) == y).mean())
    assert found["f1"] == pytest.approx(sk.f1_score(y, p > 0.5, average="macro"))
    assert found["accuracy"] > 0.75


@pytest.mark.usefixtures("unproved")
def test_bytes_train_as_the_scaled_floats_do():
    rows = digits(100)
    scaling = fit_scaling(rows.x)
    by_hand = (rows.x - rows.x.mean()) / rows.x.std()
    assert apply(scaling, rows.x, np.float64) == pytest.approx(by_hand, abs=1e-12)
    options = {"epochs": 2, "batch_size": 32}
    pixels = fit(mlp([8], 10), CROSS_ENTROPY, "sgd", rows, **options)
    floats = fit(
        mlp([8], 10), CROSS_ENTROPY, "sgd", (by_hand.astype(np.float32), rows.y), **options
    )
    assert_close(pixels.params, floats.params, 1e-5)
    assert pixels.predict(rows.x) == pytest.approx(
        floats.predict(by_hand.astype(np.float32)), abs=1e-5
    )


@pytest.mark.usefixtures("unproved")
@pytest.mark.parametrize("precision", ["bf16", "float64"])
def test_a_precision_trains_and_leaves_jax_as_it_was(precision):
    rows = digits(300)
    fitted = fit(
        mlp([32], 10), CROSS_ENTROPY, "momentum", rows, epochs=12, batch_size=30,
        precision=precision,
    )  # fmt: skip
    kept = "float64" if precision == "float64" else "float32"
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(fitted.params)} == {kept}
    assert fitted.evaluate(rows, ("accuracy",))[0]["accuracy"] > 0.98
    assert not jax.config.jax_enable_x64
    assert jax.config.jax_default_matmul_precision is None
    assert jnp.ones(1).dtype == jnp.float32


def test_x64_does_not_leak_from_a_fit_that_fails():
    network, loss, _ = inject(FAULTS["sign"], TANH, get_loss(CROSS_ENTROPY), 4)
    with pytest.raises(ProofError):
        fit(network, loss, "sgd", labelled(20), batch_size=10, precision="float64")
    assert not jax.config.jax_enable_x64


def test_a_wrong_gradient_stops_the_run_before_its_first_step():
    network, loss, _ = inject(FAULTS["factor_two"], TANH, get_loss(CROSS_ENTROPY), 4)
    reports, called = [], []
    with pytest.raises(ProofError, match=r"1 Dense\(3, identity\), ∇W = a ∇zᵀ"):
        fit(
            network, loss, "sgd", labelled(20), batch_size=10, proved=reports.append,
            callbacks=[called.append], tick=lambda *tick: called.append(tick),
        )  # fmt: skip
    assert called == []
    assert not reports[0].ok


def test_a_fit_proves_its_own_gradient_and_keeps_the_report():
    reports = []
    fitted = fit(
        TANH, CROSS_ENTROPY, "sgd", labelled(20), epochs=1, batch_size=10, proved=reports.append
    )
    assert reports == [fitted.report]
    assert fitted.report.ok
    assert {row.dtype for row in fitted.report.rows} == {"float64", "float32"}


@pytest.mark.skipif(jax.default_backend() == "gpu", reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_said_to_be_missing():
    with pytest.raises(DeviceError, match="No gpu here: JAX sees only cpu"):
        fit(TANH, CROSS_ENTROPY, "sgd", labelled(20), device="gpu")


def nan_in_row_three(x, y):
    x = x.copy()
    x[3, 1] = np.nan
    return x, y


@pytest.mark.parametrize(
    ("change", "options", "error", "words"),
    [
        (nan_in_row_three, {}, InputError, "row 3, column 1"),
        (lambda x, y: (x, y[:-1]), {}, InputError, "20 rows"),
        (lambda x, y: (x, np.where(y == 2, 7, y)), {}, InputError, "outside the allowed 0 to 2"),
        (lambda x, y: (x, y - 1), {}, InputError, "negative"),
        (None, {"batch_size": 0}, InputError, "between 1 and the 20 training rows"),
        (None, {"batch_size": 21}, InputError, "21 cannot be"),
        (None, {"epochs": 0}, InputError, "at least 1 epoch"),
        (None, {"seed": -1}, InputError, "seed"),
        (None, {"seed": 2**70}, InputError, "seed"),
        (None, {"schedule_epochs": 0}, InputError, "stretched over at least 1 epoch, not 0"),
        (None, {"patience": 2}, InputError, "needs validation rows"),
        (None, {"patience": 0, "validation": 0.2}, InputError, "Patience is at least 1"),
        (None, {"average": 1.0}, InputError, "between 0 and 1"),
        (None, {"validation": 1.0}, InputError, "less than 1"),
        (None, {"metrics": ("rmse",)}, UnknownNameError, "Unknown classification metric 'rmse'"),
        (None, {"monitor": "f1"}, InputError, "not among the metrics: accuracy"),
        (None, {"precision": "float16"}, UnknownNameError, "Unknown precision"),
        (None, {"device": "tpu"}, UnknownNameError, "Unknown device"),
        (None, {"class_weight": (1.0, 2.0)}, InputError, "3 finite numbers"),
        (None, {"class_weight": "even"}, UnknownNameError, "Known: balanced"),
        (None, {"sample_weight": np.ones(19)}, InputError, "20 rows"),
        (None, {"sample_weight": -np.ones(20)}, InputError, "not negative"),
        (None, {"sample_weight": np.zeros(20)}, InputError, "not all 0"),
    ],
)
def test_what_cannot_be_trained_on_is_one_sentence(change, options, error, words):
    data = labelled(20) if change is None else change(*labelled(20))
    with pytest.raises(error) as caught:
        fit(TANH, CROSS_ENTROPY, "sgd", data, **{"batch_size": 10, **options})
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("loss", "y", "words"),
    [
        ("sigmoid_cross_entropy", np.array([[0.0], [5.0]] * 10), "from 0 to 1, but row 1 has 5"),
        ("poisson", np.array([[0.0], [-2.0]] * 10), "not negative, but row 1 has -2"),
    ],
)
def test_a_target_that_the_loss_has_no_meaning_for_is_refused(loss, y, words):
    with pytest.raises(InputError, match=words):
        fit(mlp([4], 1), loss, "sgd", (labelled(20)[0], y), batch_size=10)


@pytest.mark.usefixtures("unproved")
def test_other_rows_must_fit_the_trained_network():
    x, y = labelled(20)
    fitted = fit(TANH, CROSS_ENTROPY, "sgd", Split(x, y), epochs=1, batch_size=10)
    with pytest.raises(InputError, match=r"\(N, 4\), not of shape \(20, 3\)"):
        fitted.predict(x[:, :3])
    with pytest.raises(InputError, match=r"not of shape \(4,\)"):
        fitted.predict(x[0])
    with pytest.raises(InputError, match="20 rows, but y has 19"):
        fitted.evaluate((x, y[:-1]))
    with pytest.raises(InputError, match="outside the allowed 0 to 2"):
        fitted.evaluate((x, y + 1))
    p = fitted.predict(x)
    assert p.sum(axis=1) == pytest.approx(np.ones(20), rel=1e-5)


@pytest.mark.usefixtures("unproved")
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_looking_at_the_noise_changes_nothing_but_the_records(precision):
    options = {"epochs": 3, "batch_size": 8, "precision": precision}
    seen, plain = (
        fit(TANH, CROSS_ENTROPY, "momentum", labelled(60), diagnostics=looks, **options)
        for looks in (True, False)
    )
    for ours, theirs in zip(*map(jax.tree.leaves, (seen.params, plain.params)), strict=True):
        assert np.array_equal(ours, theirs)
    assert [record.get("noise_scale", 0) > 0 for record in seen.history] == [True, True, False]
    for record, without in zip(seen.history, plain.history, strict=True):
        noise = {"noise_scale", "gradient_variance", "gradient_signal"}
        assert {k: v for k, v in record.items() if k not in noise} == without
