import numpy as np
import pytest
from idx_files import write_idx

from mlp_jax.data.sources.catalog import ENTRIES


def lines_of(said):
    assert (said.code, said.err) == (0, "")
    return {line.split()[0]: line for line in said.out.splitlines() if line}


@pytest.mark.parametrize("columns", ["80", "100", "200"])
def test_every_set_has_a_line_that_fits(mlp_jax, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    said = mlp_jax("datasets", "--data-dir", "data")
    lines = lines_of(said)
    assert set(ENTRIES) <= set(lines)
    assert all(len(line) <= int(columns) for line in said.out.splitlines())
    assert "…" not in said.out.replace("https://…", "")
    assert "\x1b" not in said.out
    # Alpaydin & Kaynak 1998; Cohen et al. 2017; Baldi et al. 2014.
    for name, facts in {
        "digits": ["1,797", "–", "64", "10"],
        "emnist:balanced": ["112,800", "18,800", "784", "47"],
        "higgs": ["10,500,000", "500,000", "28", "2", "2.8", "GB"],
        "diabetes": ["442", "–", "10", "number"],
    }.items():
        assert lines[name].split()[1 : 1 + len(facts)] == facts


def test_a_set_whose_files_are_there_is_shown_to_be(mlp_jax, tmp_path):
    assert lines_of(mlp_jax("datasets", "--data-dir", "data"))["mnist"].endswith(" no")
    folder = tmp_path / "data/MNIST/raw"
    folder.mkdir(parents=True)
    for part in ("train", "t10k"):
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", np.zeros((2, 5, 3), np.uint8))
        write_idx(folder / f"{part}-labels-idx1-ubyte", np.array([4, 9], np.uint8))
    assert lines_of(mlp_jax("datasets", "--data-dir", "data"))["mnist"].endswith(" yes")


def test_the_folder_of_downloads_is_told(mlp_jax, monkeypatch):
    monkeypatch.setenv("MLP_JAX_DATA", "/somewhere")
    assert "Downloads go to /somewhere\n" in mlp_jax("datasets").out
    assert "Downloads go to /else\n" in mlp_jax("datasets", "--data-dir", "/else").out
