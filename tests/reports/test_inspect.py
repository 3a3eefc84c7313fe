"""What `inspect` writes about a saved run, against JAX's own gradients and the user's own file."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import polars as pl
import pytest

from mlp_jax.backprop import get_loss, mlp
from mlp_jax.errors import DataWarning, InputError, RunFolderError, UnknownNameError
from mlp_jax.model.examples import TrainedNetwork
from mlp_jax.model.model_folder import save_model
from mlp_jax.model.saved import Model
from mlp_jax.reports.inspect import write
from mlp_jax.reports.inspect.layers import NetworkDiagnostics, diagnose_layers
from mlp_jax.reports.inspect.rows import refuse_private
from mlp_jax.reports.inspect.write import Wanted, inspect_model
from mlp_jax.training.run.config import TrainConfig, read_config
from mlp_jax.training.run.data import prepared
from mlp_jax.training.run.folder import read_metadata, write_metadata
from mlp_jax.training.run.metadata import digest

RNG = np.random.default_rng(0)
PARTS = ("train", "validation", "test")


@pytest.fixture(autouse=True, scope="module")
def _quick_compiler():
    """Compiles fast and not well, as suits programs that run for a moment."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def rows_alone(monkeypatch):
    """No pictures and no layers, which take longest and have tests of their own."""
    for name in ("draw_distribution", "draw_suspects"):
        monkeypatch.setattr(write, name, lambda *_: None)
    monkeypatch.setattr(write, "diagnose_layers", lambda *_: NetworkDiagnostics((), np.inf, 1))


def saved_run(make_run, data, loss, outputs, target="", norm=None):
    """A run on the rows in a file, with a model of random weights in float32."""
    named = f"target = {json.dumps(target.split())}\n" if target else ""
    config = f'data = "{data}"\n{named}hidden = [6, 5]\ndropout = 0.5\nepochs = 3\n'
    folder = make_run(config=config)
    parts = prepared(read_config(folder / "config.toml"))
    write_metadata(folder, read_metadata(folder) | {"digest": digest(parts)})
    network = mlp([6, 5], outputs, "tanh", dropout=0.5, norm=norm)
    params, state = network.init(jax.random.key(1), parts.inputs.n_features)
    model = Model(network, get_loss(loss), params, state, parts.inputs, parts.target)
    save_model(folder / "model", model)
    return folder, model


def inspected(folder, out=None, **wanted):
    """(the table by row number, the facts, what was said)."""
    said = []
    where = inspect_model(folder, Wanted(**wanted), out, said.append)
    facts = json.loads((where / "inspect.json").read_text())
    return pl.read_csv(where / "inspect.csv"), facts, "\n".join(said)


@pytest.fixture
def images(tmp_path):
    y = np.arange(120) % 3
    x = RNG.integers(0, 200, (120, 4, 4)).astype(np.uint8)
    x[np.arange(120), y, 0] = 255
    np.savez(tmp_path / "images.npz", x=x, y=y)
    return tmp_path / "images.npz"


@pytest.fixture
def people(tmp_path):
    """A table whose every tenth row has no target."""
    frame = pl.DataFrame(
        {
            "row": np.arange(100.0),
            "job": RNG.choice(["cook", "clerk", "pilot"], 100),
            "income": [None if k % 10 == 3 else [">50K", "<=50K"][k % 2] for k in range(100)],
            "wage": RNG.normal(40, 9, 100),
            "a": RNG.integers(0, 2, 100),
            "b": RNG.integers(0, 2, 100),
        }
    )
    frame.write_csv(tmp_path / "people.csv")
    return tmp_path / "people.csv"


@pytest.mark.usefixtures("rows_alone")
def test_every_row_has_its_own_loss_and_norm_by_its_number_in_the_file(make_run, images):
    folder, model = saved_run(make_run, images, "softmax_cross_entropy", 3, norm="batch")
    table, facts, _ = inspected(folder, parts=PARTS)
    assert sorted(table["row"]) == list(range(120))
    assert facts["rows"] == {"train": 84, "validation": 12, "test": 24}
    table = table.sort("row")
    with np.load(images) as raw:
        x, y = raw["x"].reshape(120, 16), raw["y"]
    assert table["label"].to_list() == y.tolist()
    scale, offset = model.inputs.scale, model.inputs.offset
    x = jnp.asarray(x * np.array([scale]) + np.array([offset]), jnp.float32)

    def one(params, row, label):
        output = model.network.forward(
            params, model.layer_state, row[None], train=False, key=None, mask=None
        )[0][0]
        return -jax.nn.log_softmax(output)[label]

    losses, grads = jax.jit(jax.vmap(jax.value_and_grad(one), (None, 0, 0)))(model.params, x, y)
    flat = np.concatenate([g.reshape(120, -1) for g in jax.tree.leaves(grads)], axis=1)
    np.testing.assert_allclose(table["loss"], losses, rtol=2e-5)
    np.testing.assert_allclose(table["p"], np.exp(-np.asarray(losses)), rtol=2e-5)
    np.testing.assert_allclose(table["gradient_norm"], np.linalg.norm(flat, axis=1), rtol=2e-5)
    assert table["predicted"].to_list() == [int(c) for c in model.predict(np.load(images)["x"])]
    held_out = (table["part"] == "validation").to_numpy()
    right = held_out & (table["predicted"] == table["label"]).to_numpy()
    right = right if right.any() else held_out
    train = (table["part"] == "train").to_numpy()
    np.testing.assert_allclose(
        table["influence"].to_numpy()[train], flat[train] @ flat[right].mean(axis=0),
        rtol=1e-4, atol=1e-5,
    )  # fmt: skip
    assert facts["influence_on"]["rows"] == right.sum()


def test_the_files_are_ranked_as_asked_and_images_are_drawn(make_run, images, tmp_path):
    folder, _ = saved_run(make_run, images, "softmax_cross_entropy", 3)
    table, facts, said = inspected(folder, tmp_path / "new" / "out", by="influence", top=5)
    influence = table["influence"].to_numpy()
    assert (np.diff(influence) >= 0).all()
    assert facts["suspects"]["influence"][0]["row"] == table["row"][0]
    assert facts["suspects"]["loss"][0]["loss"] == pytest.approx(table["loss"].max())
    assert facts["network_says_otherwise"] == (table["label"] != table["predicted"]).sum()
    assert "The 5 most suspicious rows by harmful influence" in said
    files = sorted(path.name for path in (tmp_path / "new" / "out").iterdir())
    assert files == ["distribution.png", "inspect.csv", "inspect.json", "suspects.png"]
    assert not (folder / "inspect").exists()
    for name in ("distribution.png", "suspects.png"):
        assert (tmp_path / "new" / "out" / name).read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("rows_alone")
def test_rows_of_a_table_keep_their_numbers_where_targets_are_missing(make_run, people):
    folder, _ = saved_run(make_run, people, "softmax_cross_entropy", 2, "income")
    table, _, said = inspected(folder, parts=PARTS)
    expected = [k for k in range(100) if k % 10 != 3]
    assert sorted(table["row"]) == expected
    for row, label in table.select("row", "label").iter_rows():
        assert label == [">50K", "<=50K"][row % 2]
    assert "row 0 is line 2 of people.csv" in said
    assert not (folder / "inspect" / "suspects.png").exists()
    with pytest.warns(DataWarning, match="10 rows are left out: the target is missing"):
        given, facts, _ = inspected(folder, data=str(people))
    assert sorted(given["row"]) == expected
    assert set(given["part"]) == {"given"}
    assert facts["influence_on"]["part"] == "the other rows"
    both = table.join(given, on="row", suffix="_given")
    np.testing.assert_allclose(both["loss"], both["loss_given"], rtol=1e-5)


@pytest.mark.usefixtures("rows_alone")
def test_numbers_are_ranked_in_their_own_units(make_run, people):
    folder, model = saved_run(make_run, people, "squared_error", 1, "wage")
    table, facts, said = inspected(folder)
    wages = pl.read_csv(people)["wage"].to_numpy()
    rows = table["row"].to_numpy()
    np.testing.assert_allclose(table["label"], wages[rows], rtol=1e-6)
    error = (table["predicted"] - table["label"]).to_numpy() / model.target.scale[0]
    np.testing.assert_allclose(table["loss"], error**2, rtol=1e-4, atol=1e-6)
    assert table["p"].null_count() == len(table)
    assert facts["network_says_otherwise"] == 0
    assert "differs from the label" not in said


@pytest.mark.usefixtures("rows_alone")
def test_several_labels_a_row_are_told_by_their_names(make_run, people):
    folder, _ = saved_run(make_run, people, "sigmoid_cross_entropy", 2, "a b")
    table, _, _ = inspected(folder)
    known = pl.read_csv(people)
    for row, label, p, loss in table.select("row", "label", "p", "loss").iter_rows():
        there = [name for name in "ab" if known[name][row]]
        assert label == ("; ".join(there) or "none")
        assert p == pytest.approx(np.exp(-loss), rel=1e-4)


def test_layers_are_told_as_numpy_has_them():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(30, 4)), rng.integers(0, 3, 30).astype(np.int32)
    W1, b1, W2 = rng.normal(size=(4, 5)), np.array([0.0, 0, -99, 0, 0]), rng.normal(size=(5, 3))
    params = ({"W": W1, "b": b1}, {"W": W2, "b": np.zeros(3)})
    params = jax.tree.map(lambda leaf: leaf.astype(np.float64), params)
    network = mlp([5], 3, "relu")
    loss = get_loss("softmax_cross_entropy")
    look = diagnose_layers(TrainedNetwork(network, loss, params, precision="float64"), x, y)
    a = np.maximum(x @ W1 + b1, 0)
    s = a @ W2
    p = np.exp(s) / np.exp(s).sum(axis=1, keepdims=True)
    delta = p - np.eye(3)[y]
    g = np.concatenate([(a[:, :, None] * delta[:, None, :]).reshape(30, -1), delta], axis=1)
    trace, mean = g.var(axis=0, ddof=1).sum(), (g.mean(axis=0) ** 2).sum()
    first, last = look.layers
    assert (first.dead, first.units, last.dead) == (1 + (a == 0).all(axis=0).sum() - 1, 5, None)
    assert first.dead >= 1
    assert first.a == pytest.approx(np.sqrt((a**2).sum(axis=1).mean()))
    assert last.grad_z == pytest.approx(np.sqrt((delta**2).sum(axis=1).mean()))
    assert last.weight == pytest.approx(np.linalg.norm(W2))
    assert last.signal_to_noise == pytest.approx(max(mean - trace / 30, 0) / trace)
    assert look.n_rows == 30


@pytest.mark.parametrize(
    ("wanted", "error", "words"),
    [
        ({"by": "los"}, UnknownNameError, "Unknown ranking 'los'. Did you mean 'loss'"),
        ({"top": 0}, InputError, "must be at least 1"),
        ({"parts": ("training",)}, UnknownNameError, "Did you mean 'train'"),
    ],
)
def test_options_that_mean_nothing_are_refused(make_run, images, wanted, error, words):
    folder, _ = saved_run(make_run, images, "softmax_cross_entropy", 3)
    with pytest.raises(error, match=words):
        inspected(folder, **wanted)
    assert not (folder / "inspect").exists()


def test_rows_that_are_not_those_of_the_run_are_refused(make_run, images):
    folder, _ = saved_run(make_run, images, "softmax_cross_entropy", 3)
    with np.load(images) as raw:
        np.savez(images, x=raw["x"][::-1], y=raw["y"])
    with pytest.raises(InputError, match="is not the data of this run"):
        inspected(folder)


@pytest.mark.usefixtures("rows_alone")
def test_a_model_by_itself_needs_rows(make_run, images):
    folder, _ = saved_run(make_run, images, "softmax_cross_entropy", 3)
    with pytest.raises(RunFolderError, match="give the rows to inspect"):
        inspected(folder / "model")
    with pytest.raises(RunFolderError, match="it is a file"):
        inspected(folder, folder / "config.toml")
    table, _, _ = inspected(folder / "model", folder / "elsewhere", data=str(images))
    assert len(table) == 120


@pytest.mark.usefixtures("rows_alone")
def test_a_run_without_validation_rows_is_measured_on_its_test_rows(make_run, images):
    folder, _ = saved_run(make_run, images, "softmax_cross_entropy", 3)
    config = folder / "config.toml"
    config.write_text(config.read_text() + "validation = 0.0\n")
    write_metadata(folder, {"digest": digest(prepared(read_config(config)))})
    _, facts, _ = inspected(folder)
    assert facts["influence_on"]["part"] == "test"
    with pytest.raises(InputError, match="no validation rows; it has train and test"):
        inspected(folder, parts=("validation",))


def test_the_training_rows_of_a_private_run_are_not_told():
    refuse_private(TrainConfig())
    with pytest.raises(InputError, match="This run is private"):
        refuse_private(TrainConfig(private=True))
