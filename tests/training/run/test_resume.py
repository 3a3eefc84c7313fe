"""A second sitting of a run, and a run that starts from another's model."""

import shutil
from dataclasses import replace

import jax
import numpy as np
import pytest
from training_cases import labelled, leaves_equal

from mlp_jax.errors import InputError, ModelFileError, RunFolderError
from mlp_jax.model.model_folder import load_model
from mlp_jax.training.run import run
from mlp_jax.training.run.config import TrainConfig

pytestmark = pytest.mark.usefixtures("unproved")


@pytest.fixture
def quiet(tmp_path):
    """Trains in silence; gives the run."""

    def train(config, name):
        return run.train(replace(config, out=str(tmp_path / name)), lambda _: None, bar=False)

    return train


def rows_file(path, classes=3, seed=0, inputs=4):
    x, y = labelled(80, inputs, seed)
    names = np.array(["ant", "bee", "cow", "dog"])[: max(classes, 3)]
    np.savez(path, x=x, y=np.minimum(y, classes - 1), classes=names[:classes])
    return str(path)


@pytest.fixture
def config(tmp_path):
    return TrainConfig(
        data=rows_file(tmp_path / "first.npz"), hidden=(6, 5), optimizer="momentum", epochs=2,
        batch_size=8, select="last",
    )  # fmt: skip


def resume(folder, config, **changed):
    return run.resume(folder, replace(config, **changed), lambda _: None, bar=False)


@pytest.mark.parametrize("optimizer", ["momentum", "kfac"])
def test_more_epochs_are_added_to_a_finished_run(quiet, config, optimizer):
    config = replace(config, optimizer=optimizer)
    first = quiet(config, "a")
    longer = quiet(replace(config, epochs=5, schedule_epochs=2), "b")
    more = resume(first.folder, config, epochs=5)
    assert more.test == longer.test
    assert leaves_equal(more.fitted.params, longer.fitted.params)
    for name in ("metrics.jsonl", "layers.jsonl", "config.toml", "model/model.safetensors"):
        assert (first.folder / name).read_bytes() == (longer.folder / name).read_bytes()


def test_a_run_that_patience_ended_says_so(quiet, config):
    first = quiet(replace(config, epochs=40, patience=1, select="best"), "a")
    ended = len(first.fitted.history)
    assert ended < 40
    with pytest.raises(InputError, match=f"stopped early after {ended} of 40 epochs"):
        resume(first.folder, replace(config, epochs=40, patience=1, select="best"), epochs=80)


def test_data_that_have_changed_are_refused(quiet, config, tmp_path):
    first = quiet(config, "a")
    rows_file(tmp_path / "first.npz", seed=1)
    with pytest.raises(InputError, match="have changed since it started"):
        resume(first.folder, config, epochs=5)


def test_a_folder_without_a_run_is_refused(tmp_path, config):
    with pytest.raises(RunFolderError, match=r"holds no run: it has no config\.toml"):
        resume(tmp_path, config)
    with pytest.raises(ModelFileError, match="There is no saved model"):
        run.train(replace(config, init_from=str(tmp_path)), lambda _: None, bar=False)


def test_a_run_starts_from_another_ones_weights_and_scaling(quiet, config):
    first = quiet(config, "a")
    still = TrainConfig(
        data=config.data, optimizer="sgd", learning_rate=1e-30, epochs=1, batch_size=8,
        init_from=str(first.folder), select="last",
    )  # fmt: skip
    second = quiet(still, "b")
    assert leaves_equal(second.fitted.params, first.fitted.params)
    assert second.test == first.test
    assert load_model(second.folder).inputs == load_model(first.folder).inputs


def test_where_the_classes_differ_the_last_layer_is_new(quiet, config, tmp_path):
    first = quiet(config, "a")
    other = TrainConfig(
        data=rows_file(tmp_path / "two.npz", classes=2, seed=3), optimizer="sgd",
        learning_rate=1e-30, epochs=1, batch_size=8, init_from=str(first.folder), select="last",
    )  # fmt: skip
    second = quiet(other, "b")
    assert leaves_equal(second.fitted.params[:-1], first.fitted.params[:-1])
    assert second.fitted.params[-1]["W"].shape == (5, 2)
    assert load_model(second.folder).target.classes == ("ant", "bee")
    shutil.rmtree(first.folder)
    more = resume(second.folder, replace(other, resume="b"), epochs=2)
    assert [leaf.shape for leaf in jax.tree.leaves(more.fitted.params)] == [
        leaf.shape for leaf in jax.tree.leaves(second.fitted.params)
    ]


def test_where_the_loss_needs_another_width_the_last_layer_is_new(quiet, config, tmp_path):
    two = rows_file(tmp_path / "two.npz", classes=2)
    first = quiet(replace(config, data=two), "a")
    binary = TrainConfig(
        data=two, loss="sigmoid_cross_entropy", optimizer="sgd", learning_rate=1e-30, epochs=1,
        batch_size=8, init_from=str(first.folder), select="last",
    )  # fmt: skip
    second = quiet(binary, "b")
    assert first.fitted.params[-1]["W"].shape == (5, 2)
    assert second.fitted.params[-1]["W"].shape == (5, 1)
    assert leaves_equal(second.fitted.params[:-1], first.fitted.params[:-1])


def test_a_run_that_starts_from_a_model_takes_its_network(quiet, config):
    first = quiet(config, "a")
    asked = replace(config, init_from=str(first.folder), dropout=0.5)
    with pytest.raises(InputError, match="of the saved model; leave out --hidden, --dropout"):
        quiet(asked, "b")


def test_other_columns_than_the_saved_models_are_refused(quiet, config, tmp_path):
    first = quiet(config, "a")
    wider = TrainConfig(
        data=rows_file(tmp_path / "wide.npz", inputs=7), init_from=str(first.folder), epochs=1
    )
    with pytest.raises(InputError, match="has 7 features, but the model takes 4"):
        quiet(wider, "b")


def test_the_best_epoch_by_validation_is_taken_unless_asked_otherwise(quiet, config):
    config = replace(config, epochs=8, learning_rate=0.3)
    last = quiet(config, "a")
    best = quiet(replace(config, select="best"), "b")
    values = [record["validation_accuracy"] for record in best.fitted.history]
    assert best.fitted.best_epoch == 1 + int(np.argmax(values))
    assert last.fitted.best_epoch == 8
    assert best.fitted.history == last.fitted.history
    with pytest.raises(InputError, match=r"Unknown selection of weights 'worst'"):
        quiet(replace(config, select="worst"), "c")


def test_of_epochs_with_equal_metrics_the_one_of_least_loss_is_taken(quiet, config):
    easy = replace(config, epochs=12, learning_rate=0.1, select="best", metrics=("top3",))
    found = quiet(easy, "a")
    losses = [record["validation_loss"] for record in found.fitted.history]
    assert {record["validation_top3"] for record in found.fitted.history} == {1.0}
    assert found.fitted.best_epoch == 1 + int(np.argmin(losses))
    assert found.fitted.best_epoch > 1


def test_several_columns_of_0_and_1_are_several_labels_a_row(quiet, tmp_path):
    x, _ = labelled(90)
    lines = [f"{a},{b},{int(a > 0)},{int(b > 0)}" for a, b in x[:, :2]]
    (tmp_path / "labels.csv").write_text("\n".join(["a,b,l1,l2", *lines]) + "\n")
    config = TrainConfig(
        data=str(tmp_path / "labels.csv"), target=("l1", "l2"), hidden=(8,), epochs=30,
        optimizer="momentum", batch_size=8, learning_rate=0.1,
    )  # fmt: skip
    found = quiet(config, "a")
    assert found.test["accuracy"] > 0.9
    model = load_model(found.folder)
    assert (model.target.task, model.target.names) == ("multilabel", ("l1", "l2"))
    assert model.predict({"a": [3.0, -3.0], "b": [-3.0, 3.0]}).tolist() == [[1, 0], [0, 1]]


def test_a_table_without_a_header_is_predicted_row_for_row(quiet, tmp_path):
    x, y = labelled(90)
    lines = [f"{a},{b},{'abc'[label]}" for (a, b), label in zip(x[:, :2], y, strict=True)]
    path = tmp_path / "bare.csv"
    path.write_text("\n".join(lines) + "\n")
    found = quiet(
        TrainConfig(
            data=str(path), target=("-1",), no_header=True, hidden=(8,), epochs=2,
            optimizer="momentum", batch_size=8,
        ),
        "a",
    )  # fmt: skip
    model = load_model(found.folder)
    assert len(model.predict(str(path))) == 90
    frame = {"0": x[:, 0], "1": x[:, 1]}
    assert np.array_equal(model.predict(str(path)), model.predict(frame))
    right = model.predict(frame) == np.array(list("abc"))[y]
    assert model.evaluate(str(path), ["accuracy"])["accuracy"] == pytest.approx(right.mean())
