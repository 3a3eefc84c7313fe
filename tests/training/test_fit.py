import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from training_cases import (
    ClosedTanh,
    Counting,
    OnCall,
    OnProof,
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
from mlp_jax.training import compile as calls
from mlp_jax.training.fit import fit
from mlp_jax.training.optim.optimizers import OPTIMIZERS, Optimizer

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
        share = 0.1 * len(rows) / 5
        mean = (1 - share) * mean + share * z.mean(0)
        variance = (1 - share) * variance + share * z.var(0)
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
            batch_size=10, callbacks=[OnCall(lambda *now: ticks.append(now))],
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
        end.diagnose()
        seen.append(len(traces))

    fit(
        network, CROSS_ENTROPY, "momentum", labelled(33), epochs=4, batch_size=8,
        validation=0.2, callbacks=[count],
    )  # fmt: skip
    assert len(seen) == 4
    assert len(set(seen)) == 1


@pytest.mark.usefixtures("unproved")
def test_another_seed_draws_other_weights_by_the_same_programs():
    network, found = Sequential((Dense(5, "relu"), Counting(), Dense(3))), []
    traces.clear()
    for seed in (1, 2):
        fitted = fit(
            network, CROSS_ENTROPY, "momentum", labelled(33), epochs=1, batch_size=8, seed=seed
        )
        found.append((list(traces), fitted.params[0]["W"]))
        traces.clear()
    (_, first), (again, second) = found
    assert again == ["init"]  # for its shapes
    assert abs(first - second).max() > 0.1


@pytest.mark.usefixtures("unproved", "optax_promotes")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_learns_digits(name):
    size = None if name == "lbfgs" else 30
    fitted = fit(mlp([16], 10), CROSS_ENTROPY, name, digits(150), epochs=6, batch_size=size)
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
def test_the_moving_average_weighs_the_steps_and_not_the_random_start():
    """Σ dᵗ⁻ⁱ wᵢ/Σ dᵗ⁻ⁱ over the weights after each step; after one step, those."""
    seen = []
    x, y = labelled(20)
    fitted = fit(
        TANH, CROSS_ENTROPY, "sgd", (x, y), epochs=4, batch_size=20, average=0.7,
        callbacks=[lambda end: seen.append(jax.device_get(end.state.params))],
    )  # fmt: skip
    powers = 0.7 ** np.arange(3, -1, -1)
    expected = jax.tree.map(lambda *ps: np.average(ps, axis=0, weights=powers), *seen)
    assert_close(fitted.params, expected, 1e-6)
    one = fit(TANH, CROSS_ENTROPY, "sgd", (x, y), epochs=1, batch_size=20, average=0.999)
    assert_close(one.params, seen[0], 1e-6)


@pytest.mark.usefixtures("unproved")
def test_beside_averaged_weights_stand_averaged_running_figures():
    """A batch is all rows here; with momentum 0 the figures of a step are those of its batch."""
    seen = []
    x, y = labelled(20)
    network = Sequential((Dense(6), BatchNorm(momentum=0.0), Dense(3)))
    fitted = fit(
        network, CROSS_ENTROPY, Optimizer("sgd", 0.5), (x, y), epochs=6, batch_size=20,
        average=0.8, callbacks=[lambda end: seen.append(jax.device_get(end.state))],
    )  # fmt: skip
    powers = 0.8 ** np.arange(5, -1, -1)
    for name in ("mean", "variance"):
        figures = [state.layer_state[1][name] for state in seen]
        expected = np.average(figures, axis=0, weights=powers)
        np.testing.assert_allclose(fitted.layer_state[1][name], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("unproved")
@pytest.mark.parametrize("average", [None, 0.9])
def test_a_last_batch_of_one_row_leaves_the_running_figures_those_of_the_rows(average):
    """33 rows in batches of 32, at weights that hardly move: by NumPy in float64 over all rows."""
    x, y = labelled(33)
    network = Sequential((Dense(6), BatchNorm(), Dense(3)))
    fitted = fit(
        network, CROSS_ENTROPY, Optimizer("sgd", 1e-6), (x, y), epochs=60, batch_size=32,
        average=average,
    )  # fmt: skip
    W, b = (np.asarray(fitted.params[0][name], float) for name in ("W", "b"))
    z = x.astype(float) @ W + b
    np.testing.assert_allclose(fitted.layer_state[1]["variance"], z.var(axis=0), rtol=0.1)
    np.testing.assert_allclose(fitted.layer_state[1]["mean"], z.mean(axis=0), atol=0.1)


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
@pytest.mark.parametrize("precision", ["bf16", "float64"])
def test_a_precision_trains_and_leaves_jax_as_it_was(precision):
    rows = digits(300)
    fitted = fit(
        mlp([32], 10), CROSS_ENTROPY, "momentum", rows, epochs=12, batch_size=30,
        precision=precision,
    )  # fmt: skip
    kept = "float64" if precision == "float64" else "float32"
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(fitted.params)} == {kept}
    assert fitted.evaluate(rows, ("accuracy",))["accuracy"] > 0.98
    assert not jax.config.jax_enable_x64
    assert jax.config.jax_default_matmul_precision is None
    assert jnp.ones(1).dtype == jnp.float32


def test_a_fit_proves_its_own_gradient_and_keeps_the_report():
    reports = []
    fitted = fit(
        TANH,
        CROSS_ENTROPY,
        "sgd",
        labelled(20),
        epochs=1,
        batch_size=10,
        callbacks=[OnProof(reports.append)],
    )
    assert reports == [fitted.report]
    assert fitted.report.ok
    assert {row.dtype for row in fitted.report.rows} == {"float64", "float32"}


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
