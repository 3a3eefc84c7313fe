import io
import json
import struct

import pytest
from PIL import Image
from report_cases import CONFIG
from rich.console import Console

from mlp_jax.errors import RunFolderError
from mlp_jax.reports.compare import caution, differing, lines, print_comparison, read_runs
from mlp_jax.reports.curves import draw_curves, panels, picture_path


@pytest.fixture
def two(make_run):
    better = [{"epoch": 1, "train_loss": 0.5, "validation_loss": 0.5, "validation_accuracy": 0.95}]
    other = CONFIG.replace("hidden = [8, 8]", "hidden = [16]") + 'norm = "layer"\n'
    folders = [
        make_run("a"),
        make_run("b", config=other, history=better, test={"loss": 0.2, "accuracy": 0.93}),
    ]
    return read_runs(folders)


def test_what_differs_comes_first(two):
    assert differing(two) == ["hidden", "norm"]
    by_name = {line.name: line for line in lines(two)}
    assert by_name["hidden"].cells == ("8 8", "16")
    assert by_name["norm"].cells == ("–", "layer")
    assert by_name["best validation accuracy"].cells == ("0.9000 (epoch 2)", "0.9500 (epoch 1)")
    assert by_name["final validation accuracy"].cells == ("0.8000", "0.9500")
    assert by_name["test loss"].best == {1}
    assert by_name["test accuracy"].best == {1}
    assert by_name["epochs run"].cells == ("3 of 3", "1 of 3")


@pytest.mark.parametrize("width", [50, 80, 120])
def test_the_table_fits_the_terminal_and_marks_the_best(two, width):
    stream = io.StringIO()
    print_comparison(two, Console(file=stream, width=width))
    text = stream.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "0.9500 (epoch 1) *" in text
    assert "0.9300 *" in text
    assert text.count("test accuracy") == (2 if width == 50 else 1)


def test_one_run_alone_is_shown_without_a_winner(two):
    alone = lines(two[:1])
    assert differing(two[:1]) == []
    assert not any(line.best for line in alone)
    assert caution(two[:1]) == ""


def test_runs_on_other_data_have_no_winner_and_a_caution(make_run):
    facts = {"data": "sine", "task": "regression"}
    history = [{"epoch": 1, "train_loss": 9.0, "validation_loss": 8.0, "validation_rmse": 3.0}]
    runs = read_runs([
        make_run("a"),
        make_run("b", facts=facts, history=history, test={"loss": 8.0, "rmse": 3.0}),
    ])  # fmt: skip
    assert not any(line.best for line in lines(runs))
    assert "different data" in caution(runs)
    assert [panel.title for panel in panels(runs)] == [
        "loss: cross-entropy", "loss: squared_error", "validation accuracy", "validation rmse",
    ]  # fmt: skip


def test_another_seed_is_another_split(make_run):
    runs = read_runs([make_run("a"), make_run("b", config=CONFIG.replace("seed = 0", "seed = 1"))])
    assert "split differently" in caution(runs)


def test_a_run_named_twice_counts_once(make_run):
    folder = make_run()
    assert len(read_runs([folder, folder / ".", folder])) == 1


def test_parameters_are_counted_without_loading_them(make_run):
    folder = make_run()
    tensors = {
        "__metadata__": {}, "0.W": {"dtype": "F32", "shape": [64, 8], "data_offsets": [0, 0]},
        "0.b": {"shape": [8]}, "state.1.mean": {"shape": [8]},
    }  # fmt: skip
    header = json.dumps(tensors).encode()
    (folder / "model").mkdir()
    (folder / "model/model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    found = {line.name: line.cells for line in lines(read_runs([folder]))}
    assert found["parameters"] == ("520",)
    (folder / "model/model.safetensors").write_bytes(b"\xff" * 12)
    found = {line.name: line.cells for line in lines(read_runs([folder]))}
    assert found["parameters"] == ("–",)


def test_curves_of_many_runs_are_one_picture(make_run, tmp_path):
    runs = read_runs([make_run(f"run number {i}") for i in range(14)])
    assert draw_curves(runs, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        assert image.format == "PNG"
        assert image.width > image.height > 400


def test_runs_without_an_epoch_have_no_curves(make_run, tmp_path):
    assert not draw_curves(read_runs([make_run(history=[])]), tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()


def test_a_picture_has_a_folder_and_the_right_ending(tmp_path):
    assert picture_path(str(tmp_path / "a.PNG")) == tmp_path / "a.PNG"
    with pytest.raises(RunFolderError, match=r"'curves.pdf' must end in .png"):
        picture_path("curves.pdf")
    with pytest.raises(RunFolderError, match="there is no folder"):
        picture_path(str(tmp_path / "absent/a.png"))
