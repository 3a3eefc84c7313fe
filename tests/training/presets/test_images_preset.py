import pytest
from training_cases import digits

from mlp_jax.backprop import BatchNorm, Dropout
from mlp_jax.data import Split, fit_scaling
from mlp_jax.errors import InputError
from mlp_jax.training import fit
from mlp_jax.training.presets.images import images
from mlp_jax.training.run.build import build, with_preset_options
from mlp_jax.training.run.config import TrainConfig


@pytest.mark.parametrize(
    ("rows", "batch_size", "epochs"),
    [
        (60_000, 512, 40),  # 118 steps an epoch, 40 of them 4720
        (1_000_000, 512, 40),
        (4_000, 128, 147),  # 4000/25 = 160; 32 steps, 147 of them 4704
        (1_617, 64, 150),  # 26 steps, but no more than 150 epochs
        (10, 10, 150),
        (1, 1, 150),
    ],
)
def test_small_sets_are_seen_in_smaller_batches_and_more_often(rows, batch_size, epochs):
    options = images(784, 10, rows, "classification").options
    assert (options["batch_size"], options["epochs"]) == (batch_size, epochs)


def test_pixels_and_units_drop_out_and_every_hidden_layer_is_normalized():
    network = images(784, 10, 60_000, "classification").network
    assert [layer.rate for layer in network.children if isinstance(layer, Dropout)] == [
        0.1, 0.2, 0.2,
    ]  # fmt: skip
    assert isinstance(network.children[0], Dropout)
    assert sum(isinstance(layer, BatchNorm) for layer in network.children) == 2


def test_what_is_no_task_of_classes_is_refused():
    with pytest.raises(InputError, match="needs classes, not regression"):
        images(784, 1, 1000, "regression")


@pytest.mark.usefixtures("optax_promotes", "unproved")
def test_a_few_epochs_of_it_read_most_digits():
    rows = digits(1797)
    train, test = Split(rows.x[:1400], rows.y[:1400]), Split(rows.x[1400:], rows.y[1400:])
    found = images(64, 10, len(train), "classification")
    options = {**found.options, "epochs": 6}
    scaling = fit_scaling(train.x, pixels=True)
    fitted = fit(found.network, found.loss, found.optimizer, train, scaling=scaling, **options)
    assert fitted.evaluate(test, ["accuracy"])["accuracy"] > 0.9


def test_a_run_by_its_name_takes_the_recipe_with_the_last_weights():
    config = TrainConfig(data="digits", preset="images")
    parts = build(config)
    recipe = images(64, 10, len(parts.data.train), "classification")
    assert (parts.network, parts.loss, parts.optimizer) == (
        recipe.network, recipe.loss, recipe.optimizer,
    )  # fmt: skip
    used = with_preset_options(config, parts.options)
    assert (used.select, used.batch_size, used.epochs) == ("last", 64, 150)


def test_a_bound_on_the_weights_beside_the_recipe_is_refused():
    with pytest.raises(InputError, match="sets its own values: leave out --max-norm"):
        build(TrainConfig(data="digits", preset="images", max_norm=3.0))
