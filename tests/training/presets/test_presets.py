import numpy as np
import pytest
from sklearn.datasets import make_friedman1
from sklearn.ensemble import RandomForestRegressor

from mlp_jax.errors import InputError, UnknownNameError
from mlp_jax.estimators import MLPRegressor
from mlp_jax.model.model_folder import load_model
from mlp_jax.training.presets import PRESETS, column_options, preset
from mlp_jax.training.presets.tabular import LONG, SHORT, wave_spreads
from mlp_jax.training.presets.tabular_numbers import pace
from mlp_jax.training.run.build import build
from mlp_jax.training.run.config import TrainConfig, run_config
from mlp_jax.training.run.run import train

ROWS = "number,word,label\n" + "".join(
    f"{k * 37 % 11},{'abc'[k % 3]},{'yes' if k % 3 else 'no'}\n" for k in range(90)
)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(ROWS)
    return {"data": str(path), "target": ("label",)}


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(UnknownNameError, match="images, tabular"):
        column_options("tables")
    with pytest.raises(UnknownNameError, match="images, tabular"):
        preset("tables", inputs=None, n_in=3, n_out=2, task="classification", n_rows=40)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_takes_the_rows_and_gives_an_output_for_each_class(name):
    found = preset(name, inputs=None, n_in=3, n_out=4, task="classification", n_rows=40)
    assert found.network.width_out(3) == 4


def test_only_numbers_whose_values_many_rows_share_get_short_waves():
    rng = np.random.default_rng(0)
    smooth, shared, few = rng.standard_normal(500), np.arange(500) % 20, np.arange(500) % 21
    assert wave_spreads(np.stack([smooth, shared, few], axis=1)) == (LONG, SHORT, LONG)


@pytest.mark.parametrize(
    ("n_rows", "batch", "epochs"),
    [(10, 10, 256), (256, 256, 256), (257, 129, 256), (1082, 217, 256), (100_000, 256, 64)],
)
def test_batches_of_numbers_to_predict_are_equal_and_many_rows_take_fewer_epochs(
    n_rows, batch, epochs
):
    found = pace(n_rows)
    assert found == {"batch_size": batch, "epochs": epochs}
    last = n_rows % batch or batch
    assert last > batch - -(-n_rows // batch)


def test_numbers_to_predict_have_a_network_and_an_optimizer_of_their_own():
    def made(task):
        return preset("tabular", inputs=None, n_in=3, n_out=1, task=task, n_rows=40)

    numbers, classes = made("regression"), made("classification")
    assert numbers.optimizer.schedule == "coslog4"
    assert dict(numbers.optimizer.rate_factors)["s"] == 6.0
    assert classes.optimizer.schedule == "cosine"
    assert "FeatureScale" in str(numbers.network)
    assert "FeatureScale" not in str(classes.network)


@pytest.mark.usefixtures("optax_promotes")
def test_the_preset_learns_a_smooth_function_of_few_rows():
    x, y = make_friedman1(900, noise=1.0, random_state=0)
    model = MLPRegressor(preset="tabular", random_state=0).fit(x[:600], y[:600])
    forest = RandomForestRegressor(random_state=0).fit(x[:600], y[:600])
    assert model.score(x[600:], y[600:]) > forest.score(x[600:], y[600:]) + 0.05


@pytest.mark.parametrize(
    "given", [{"hidden": (8,)}, {"optimizer": "lion"}, {"scaling": "robust"}, {"dropout": 0.5}]
)
def test_an_option_that_the_preset_settles_is_refused(table, given):
    with pytest.raises(InputError, match=f"sets its own values: leave out --{next(iter(given))}"):
        build(TrainConfig(preset="tabular", **table, **given))


def test_the_preset_has_the_numbers_of_a_table_scaled_by_their_quantiles(table):
    parts = build(TrainConfig(preset="tabular", **table))
    assert {column.scaling for column in parts.data.inputs.numeric} == {"quantile"}


@pytest.mark.usefixtures("optax_promotes")
def test_options_that_the_user_gives_win_over_the_presets(table, tmp_path):
    out = tmp_path / "run"
    asked = TrainConfig(preset="tabular", epochs=2, out=str(out), **table)
    run = train(asked, say=lambda text: None, bar=False)
    assert len(run.fitted.history) == 2
    assert load_model(out).network == run.fitted.network
    kept = run_config(out)
    assert (kept.preset, kept.epochs) == ("tabular", 2)
    assert kept.batch_size == build(asked).options["batch_size"]
