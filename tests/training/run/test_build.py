import numpy as np
import pytest

from mlp_jax import Activation, BatchNorm, Dense, Dropout
from mlp_jax.backprop import get_loss
from mlp_jax.data import from_arrays
from mlp_jax.data.encoding import TargetEncoding
from mlp_jax.data.prepare import prepare
from mlp_jax.errors import InputError, UnknownNameError
from mlp_jax.training.run.build import (
    build,
    build_loss,
    build_network,
    build_optimizer,
    fitting_target,
    output_width,
)
from mlp_jax.training.run.config import TrainConfig
from mlp_jax.training.run.run import train

X = np.random.default_rng(0).standard_normal((12, 4)).astype(np.float32)


def data(y):
    return prepare(from_arrays("some", X, np.asarray(y)), test=0, validation=0, seed=0)


THREE, TWO = data([0, 1, 2] * 4), data([0, 1] * 6)
NUMBERS, COLUMNS = data(X[:, 0]), data((X[:, :3] > 0).astype(np.float32))


@pytest.mark.parametrize(
    ("dataset", "name", "loss", "width", "task"),
    [
        (THREE, None, "softmax_cross_entropy", 3, "classification"),
        (TWO, None, "softmax_cross_entropy", 2, "classification"),
        (TWO, "sigmoid_cross_entropy", "sigmoid_cross_entropy", 1, "classification"),
        (THREE, "sigmoid_cross_entropy", "sigmoid_cross_entropy", 3, "classification"),
        (TWO, "hinge", "hinge", 2, "classification"),
        (THREE, "squared_error", "squared_error", 3, "classification"),
        (NUMBERS, None, "squared_error", 1, "regression"),
        (NUMBERS, "huber", "huber", 1, "regression"),
        (COLUMNS, None, "sigmoid_cross_entropy", 3, "multilabel"),
        (COLUMNS, "squared_error", "squared_error", 3, "regression"),
        (NUMBERS, "poisson", "poisson", 1, "regression"),
        (COLUMNS, "sigmoid_cross_entropy", "sigmoid_cross_entropy", 3, "multilabel"),
    ],
)
def test_loss_outputs_and_task_follow_from_the_data(dataset, name, loss, width, task):
    chosen = build_loss(TrainConfig(loss=name), dataset)
    assert chosen.name == loss
    assert output_width(chosen, dataset) == width
    target = fitting_target(chosen, dataset.target)
    assert target.task == task
    assert bool(target.scale) == (dataset is NUMBERS and chosen.name != "poisson")


def test_the_options_reach_the_loss_the_network_and_the_optimizer():
    config = TrainConfig(
        hidden=(8, 8), activation="gelu", dropout=0.25, norm="batch", label_smoothing=0.1,
        optimizer="lion", learning_rate=0.5, schedule="cosine", warm_up=0.2, weight_decay=0.3,
        clip_norm=2.0, max_norm=3.0,
    )  # fmt: skip
    loss = build_loss(config, THREE)
    assert str(loss) == "softmax_cross_entropy(label_smoothing=0.1)"
    network = build_network(config, loss, THREE)
    block = [Dense(8, "identity", "he_normal"), BatchNorm(), Activation("gelu"), Dropout(0.25)]
    assert [type(layer) for layer in network.layers] == [
        type(b) for b in (*block, *block, Dense(3))
    ]
    assert network.layers[1:4] == tuple(block[1:])
    assert network.width_out(4) == 3
    optimizer = build_optimizer(config)
    assert (optimizer.name, optimizer.peak, optimizer.schedule) == ("lion", 0.5, "cosine")
    assert (optimizer.warm_up, optimizer.decay) == (0.2, 0.3)
    assert (optimizer.clip_norm, optimizer.max_norm) == (2.0, 3.0)


@pytest.mark.parametrize(
    ("options", "dataset", "words"),
    [
        (
            {"loss": "softmax_cross_entropy"},
            NUMBERS,
            "needs classes, but the targets of 'some' are numbers",
        ),
        ({"loss": "huber", "label_smoothing": 0.1}, THREE, "needs a cross-entropy loss, not huber"),
        ({"label_smoothing": 1.0}, THREE, "must lie in [0, 1), not 1.0"),
        ({"label_smoothing": -0.1}, THREE, "must lie in [0, 1), not -0.1"),
        ({}, data([0] * 12), "'some' has a single class, '0'"),
        ({"loss": "hing"}, THREE, "Did you mean 'hinge'?"),
    ],
)
def test_a_loss_that_does_not_fit_is_refused(options, dataset, words):
    with pytest.raises(InputError) as caught:
        build_loss(TrainConfig(**options), dataset)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hidden": (0,)}, "at least 1, not 0"),
        ({"dropout": 1.0}, "[0, 1), not 1.0"),
        ({"norm": "bach"}, "Did you mean 'batch'?"),
        ({"activation": "rellu"}, "Did you mean 'relu'?"),
    ],
)
def test_a_network_that_cannot_be_is_refused(options, words):
    config = TrainConfig(**options)
    with pytest.raises((InputError, UnknownNameError)) as caught:
        build_network(config, build_loss(config, THREE), THREE)
    assert words in str(caught.value)


@pytest.mark.parametrize("offset", [1e40, -2e15])
def test_numbers_too_large_for_a_loss_that_takes_them_as_they_are_are_refused(offset):
    target = TargetEncoding("regression", ("y",), (), (1.0,), (offset,))
    with pytest.raises(InputError, match=r"Target 'y' holds numbers like .* too far from 0"):
        fitting_target(get_loss("poisson"), target)
    assert fitting_target(get_loss("huber"), target) == target


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"scaling": "robust"}, "--scaling is for tables, and 'digits' holds arrays: leave it out"),
        ({"separator": ";", "rare": 3}, "--separator, --rare is for tables"),
        ({"no_header": True}, "--no-header is for tables"),
        ({"na_values": ("x",)}, "--na-values is for tables"),
    ],
)
def test_options_of_tables_are_refused_for_arrays(options, sentence):
    with pytest.raises(InputError, match=sentence):
        build(TrainConfig(data="digits", **options))


def test_a_test_share_is_refused_where_the_data_have_test_rows(tmp_path):
    x, y = np.zeros((40, 2), np.float32), np.arange(40) % 2
    np.savez(tmp_path / "d.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.raises(InputError, match="has its own test rows: leave out --test"):
        build(TrainConfig(data=str(tmp_path / "d.npz"), test=0.5))


def test_options_of_distributed_runs_need_one():
    with pytest.raises(InputError, match="--processes is for distributed runs: add --distributed"):
        train(TrainConfig(data="digits", processes=2))
