import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax.backprop import BatchNorm, Dense, Dropout, Sequential, get_loss, mlp
from mlp_jax.backprop.layer import grad_weight, pre_activation
from mlp_jax.data import Split
from mlp_jax.errors import DivergedError, InputError, UnknownNameError
from mlp_jax.training import Optimizer, fit
from mlp_jax.training.engine.program import INIT, stream
from mlp_jax.training.many import bootstrap_weights, fit_many
from mlp_jax.training.many.memory import chunk_size
from tests.training.training_cases import (
    CLASSES,
    Counting,
    assert_close,
    labelled,
    leaves_equal,
    traces,
)

ROWS, JUDGED = labelled(60), labelled(30, seed=1)
SEEDS = (3, 7, 11)
CE = "softmax_cross_entropy"
HOW = {"epochs": 3, "batch_size": 16, "precision": "float64", "metrics": ["accuracy"]}
pytestmark = pytest.mark.usefixtures("unproved", "optax_promotes")


def dropped(rate: float) -> Sequential:
    return Sequential((Dense(8, "tanh"), Dropout(rate), Dense(CLASSES)))


def assert_equal_solo(many, solos, tolerance=1e-12):
    """Every member's weights and records are those of its own run."""
    for k, solo in enumerate(solos):
        member = many.member(k)
        assert_close(member.params, solo.params, tolerance)
        assert_close(member.layer_state, solo.layer_state, tolerance)
        assert member.best_epoch == solo.best_epoch
        assert len(member.history) == len(solo.history)
        for ours, theirs in zip(member.history, solo.history, strict=True):
            assert ours == pytest.approx(theirs, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize(
    "optimizer",
    [
        Optimizer("sgd", 0.1, "one-cycle"),
        Optimizer("momentum", 0.05, "step"),
        Optimizer("adamw", 1e-2, "cosine", warm_up=0.2, clip_norm=0.5),
        Optimizer("rmsprop", 1e-3, "linear"),
        Optimizer("adagrad", 0.05),
        Optimizer("lion", 1e-3, "warm-up"),
        Optimizer("lamb", 1e-2, weight_decay=0.1),
        Optimizer("muon", 1e-2, "cosine", weight_decay=0.1),
        Optimizer("adam", 3e-2, max_norm=0.8),
    ],
    ids=lambda optimizer: optimizer.name,
)
def test_each_member_is_its_solo_run_with_its_own_rate_and_decay(optimizer):
    seeds, rates, decays = SEEDS[:2], [2 * optimizer.peak, optimizer.peak / 3], [0.0, 0.2]
    vary = {"learning_rate": rates, "weight_decay": decays}
    many = fit_many(mlp([8], CLASSES), CE, optimizer, ROWS, seeds=seeds, vary=vary, **HOW)
    solos = [
        fit(
            mlp([8], CLASSES),
            CE,
            Optimizer(
                optimizer.name, rate, optimizer.schedule, optimizer.warm_up, decay,
                optimizer.clip_norm, optimizer.max_norm,
            ),
            ROWS,
            seed=seed,
            **HOW,
        )
        for seed, rate, decay in zip(seeds, rates, decays, strict=True)
    ]  # fmt: skip
    assert_equal_solo(many, solos)


def test_each_member_is_its_solo_run_with_its_own_dropout_and_label_smoothing():
    vary = {"dropout": [0.0, 0.2, 0.5], "label_smoothing": [0.1, 0.0, 0.3]}
    more = {**HOW, "validation": JUDGED, "select": "best"}
    many = fit_many(dropped(0.1), CE, "adam", ROWS, seeds=SEEDS, vary=vary, **more)
    solos = [
        fit(dropped(rate), get_loss(CE, label_smoothing=smooth), "adam", ROWS, seed=seed, **more)
        for seed, rate, smooth in zip(SEEDS, *vary.values(), strict=True)
    ]
    assert_equal_solo(many, solos)


def test_yes_and_no_outputs_are_smoothed_as_the_loss_smooths_them():
    rows, name = (ROWS[0], np.eye(CLASSES)[ROWS[1]]), "sigmoid_cross_entropy"
    smoothing = [0.0, 0.1, 0.2]
    vary = {"label_smoothing": smoothing}
    how = {**HOW, "metrics": ()}
    many = fit_many(mlp([6], CLASSES), name, "adam", rows, seeds=SEEDS, vary=vary, **how)
    solos = [
        fit(mlp([6], CLASSES), get_loss(name, label_smoothing=s), "adam", rows, seed=k, **how)
        for k, s in zip(SEEDS, smoothing, strict=True)
    ]
    assert_equal_solo(many, solos)


def test_each_member_is_its_solo_run_with_batch_norm_an_average_and_a_last_short_batch():
    network = Sequential((Dense(8, bias=False), BatchNorm(), Dense(CLASSES)))
    how = {**HOW, "batch_size": 17, "average": 0.9, "validation": JUDGED}
    many = fit_many(network, CE, "adam", ROWS, seeds=SEEDS, **how)
    assert_equal_solo(many, [fit(network, CE, "adam", ROWS, seed=seed, **how) for seed in SEEDS])


def test_each_member_stops_by_its_own_patience_and_keeps_its_own_best():
    how = {**HOW, "epochs": 25, "validation": JUDGED, "patience": 2, "monitor": "loss"}
    vary = {"learning_rate": [0.3, 1e-3, 0.05]}
    many = fit_many(mlp([8], CLASSES), CE, "adam", ROWS, seeds=SEEDS, vary=vary, **how)
    solos = [
        fit(mlp([8], CLASSES), CE, Optimizer("adam", rate), ROWS, seed=seed, **how)
        for seed, rate in zip(SEEDS, vary["learning_rate"], strict=True)
    ]
    assert len({len(solo.history) for solo in solos}) > 1
    assert_equal_solo(many, solos)


def test_bootstrap_weights_are_each_members_own_sample_weights():
    weights = bootstrap_weights(SEEDS, 60)
    assert weights.shape == (3, 60)
    assert (weights.sum(axis=1) == 60).all()
    network = mlp([8], CLASSES)
    many = fit_many(network, CE, "adam", ROWS, seeds=SEEDS, member_weight=weights, **HOW)
    solos = [
        fit(network, CE, "adam", ROWS, seed=seed, sample_weight=own, **HOW)
        for seed, own in zip(SEEDS, weights, strict=True)
    ]
    assert_equal_solo(many, solos)


def test_with_a_shared_order_every_member_sees_the_batches_of_one_seed():
    network = mlp([8], CLASSES)
    many = fit_many(network, CE, "adam", ROWS, seeds=SEEDS, seed=5, shared_order=True, **HOW)
    for k, seed in enumerate(SEEDS):
        start = network.init(stream(np.uint32(seed), INIT), 4)
        solo = fit(network, CE, "adam", ROWS, seed=5, start=start, **HOW)
        assert_close(many.member(k).params, solo.params, 1e-12)


def test_the_initial_scale_multiplies_the_matrices_that_a_member_starts_with():
    network = mlp([8], CLASSES)
    scales = [0.1, 1.0, 3.0]
    vary = {"initial_scale": scales}
    many = fit_many(network, CE, Optimizer("sgd", 1e-12), ROWS, seeds=[3] * 3, vary=vary, **HOW)
    first = many.member(1).params[0]["W"]
    for k, scale in enumerate(scales):
        assert_close(many.member(k).params[0]["W"], scale * first, 1e-9)


def test_a_member_that_diverges_is_named_and_the_others_go_on_as_alone():
    rates = [0.1, 1e300, 0.2]
    network = mlp([8], 1)
    rows = (ROWS[0], ROWS[0][:, :1].astype(np.float64))
    how = {**HOW, "metrics": ()}
    many = fit_many(
        network, "squared_error", Optimizer("sgd", 0.1), rows, seeds=SEEDS,
        vary={"learning_rate": rates}, **how,
    )  # fmt: skip
    assert list(many.failures) == [1]
    assert many.failures[1].startswith("Member 1, learning_rate 1e+300 diverged at step ")
    with pytest.raises(DivergedError, match="Member 1"):
        many.member(1)
    for k in (0, 2):
        alone = Optimizer("sgd", rates[k])
        solo = fit(network, "squared_error", alone, rows, seed=SEEDS[k], **how)
        assert_close(many.member(k).params, solo.params, 1e-12)


def test_chunks_give_what_all_at_once_gives():
    network, seeds = mlp([8], CLASSES), list(range(5))
    how = {**HOW, "validation": JUDGED, "select": "best"}
    vary = {"learning_rate": [1e-3 * (k + 1) for k in range(5)]}
    whole = fit_many(network, CE, "adam", ROWS, seeds=seeds, vary=vary, **how)
    chunked = fit_many(network, CE, "adam", ROWS, seeds=seeds, vary=vary, memory=50_000, **how)
    assert_close(chunked.params, whole.params, 1e-12)
    assert chunked.best_epochs == whole.best_epochs
    assert [len(history) for history in chunked.histories] == [3] * 5
    assert list(chunked.history[0])[1:] == [
        name for name in whole.history[0] if name.startswith("member_")
    ]


@pytest.mark.parametrize(
    ("count", "bound", "size"), [(10, 100, 10), (10, 40, 4), (10, 50, 5), (7, 35, 3), (3, 1, 1)]
)
def test_a_chunk_fits_into_the_bound_and_chunks_are_of_one_size(count, bound, size):
    assert chunk_size(count, 10, bound) == size


def test_one_program_is_traced_for_all_members_epochs_and_chunks():
    network = Sequential((Counting(), Dense(5, "tanh"), Dense(CLASSES)))
    traces.clear()
    how = {**HOW, "epochs": 4, "batch_size": 20}
    vary = {"learning_rate": [1e-3 * (k + 1) for k in range(6)]}
    fit_many(network, CE, "adam", ROWS, seeds=range(6), vary=vary, memory=60_000, **how)
    assert traces.count("train") == 1
    vary = {"learning_rate": [2e-3 * (k + 1) for k in range(6)]}
    fit_many(network, CE, "adam", ROWS, seeds=range(10, 16), vary=vary, memory=60_000, **how)
    assert traces.count("train") == 1


def test_the_first_layer_of_members_that_share_batches_is_one_product():
    x, W, d = jnp.ones((16, 24)), jnp.ones((4, 24, 3)), jnp.ones((4, 16, 3))

    def both(x, W, d):
        z = jax.vmap(lambda W: pre_activation(W, None, x))(W)
        return z, jax.vmap(lambda d: grad_weight(x, d))(d)

    with jax.default_matmul_precision("highest"):
        text = jax.jit(both).lower(x, W, d).as_text()
    products = re.findall(r"dot_general .*", text)
    assert len(products) == 2
    assert not any("batching_dims" in product for product in products)


def test_evaluation_of_a_member_is_that_of_its_solo_run():
    many = fit_many(mlp([8], CLASSES), CE, "adam", ROWS, seeds=SEEDS, **HOW)
    solo = fit(mlp([8], CLASSES), CE, "adam", ROWS, seed=SEEDS[1], **HOW)
    ours, theirs = (one.evaluate(Split(*JUDGED), ["accuracy"]) for one in (many.member(1), solo))
    assert ours == pytest.approx(theirs, rel=1e-12)


def test_patience_1_leaves_the_state_of_a_stopped_member_as_it_was():
    seen = []
    how = {**HOW, "epochs": 8, "validation": JUDGED, "patience": 1, "monitor": "loss"}
    vary = {"learning_rate": [1.0, 1e-3, 1e-3]}

    def note(end):
        seen.append(jax.tree.map(lambda leaf: np.array(leaf[0]), end.state.members.params))

    many = fit_many(
        mlp([8], CLASSES), CE, "adam", ROWS, seeds=SEEDS, vary=vary, callbacks=[note], **how
    )
    stopped = len(many.histories[0])
    assert stopped < len(seen)
    assert leaves_equal(seen[stopped - 1], seen[-1])


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"vary": {"hidden": [1, 2, 3]}}, "Unknown hyperparameter that can vary 'hidden'"),
        ({"vary": {"learning_rate": [0.1]}}, "There are 3 members, but 1 values of learning_rate"),
        ({"vary": {"learning_rate": [0.1, -1, 1]}}, "The learning rate must be positive, not -1"),
        ({"vary": {"dropout": [0, 0.1, 0.2]}}, "this one has none"),
        ({"vary": {"initial_scale": [1, 0, 1]}}, "An initial scale must be positive, not 0"),
        ({"seeds": []}, "at least 1 member"),
        ({"seeds": [-1]}, "A seed must lie between 0 and"),
        ({"member_weight": np.ones((2, 60))}, r"member weights of shape \(3, 60\), not \(2, 60\)"),
    ],
)
def test_what_cannot_vary_is_refused_in_a_sentence(how, said):
    with pytest.raises(InputError, match=said):
        fit_many(mlp([4], CLASSES), CE, "adam", ROWS, **{"seeds": SEEDS, **HOW, **how})


def test_lbfgs_members_differ_by_seed_alone():
    how = {**HOW, "epochs": 2, "batch_size": None}
    with pytest.raises(InputError, match="not for lbfgs"):
        fit_many(
            mlp([4], CLASSES), CE, "lbfgs", ROWS, seeds=SEEDS,
            vary={"learning_rate": [1, 1, 1]}, **how,
        )  # fmt: skip
    many = fit_many(mlp([4], CLASSES), CE, "lbfgs", ROWS, seeds=SEEDS[:2], **how)
    solos = [fit(mlp([4], CLASSES), CE, "lbfgs", ROWS, seed=seed, **how) for seed in SEEDS[:2]]
    assert_equal_solo(many, solos, 1e-10)


def test_an_unknown_name_lists_what_can_vary():
    with pytest.raises(UnknownNameError, match="label_smoothing, learning_rate, weight_decay"):
        fit_many(mlp([4], CLASSES), CE, "adam", ROWS, seeds=[1], vary={"width": [1]}, **HOW)
