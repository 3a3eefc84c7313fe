"""Every pair of the table is refused by `fit`, `fit_many` and the command, in the same words."""

from pathlib import Path

import numpy as np
import pytest
from training_cases import labelled

import mlp_jax
from mlp_jax.backprop import Ensemble, mlp
from mlp_jax.cli.main import main
from mlp_jax.data.source import Streamed
from mlp_jax.data.streams import open_npy
from mlp_jax.errors import InputError
from mlp_jax.training import Privacy, fit, fit_many
from mlp_jax.training.compatibility import EXCLUSIONS, SETTINGS, check_compatible, markdown

LOSS = "softmax_cross_entropy"
IN_FIT = {
    "accumulate": {"accumulate": 2},
    "batch_size": {"batch_size": 8},
    "class_weight": {"class_weight": "balanced"},
    "devices": {"devices": 2},
    "diagnostics": {"diagnostics": True},
    "importance": {"importance": 2},
    "mesh": {"mesh": "data=2"},
    "other_precision": {"precision": "bf16"},
    "patience": {"patience": 2, "validation": labelled(20)},
    "private": {"privacy": Privacy(3.0, 1e-3)},
    "recompute": {"recompute": True},
    "sample_weight": {"sample_weight": np.ones(40)},
    "select_best": {"select": "best", "validation": labelled(20)},
    "shard_optimizer": {"shard_optimizer": True},
    "start": {"start": ((), ())},
    "validation_share": {"validation": 0.2},
}
OPTIMIZERS = {"kfac": "kfac", "lbfgs": "lbfgs", "other_optimizer": "kfac"}
NETWORKS = {
    "batch_norm": mlp([4], 3, norm="batch"),
    "ensemble_network": Ensemble((mlp([4], 3), mlp([4], 3)), "softmax"),
}
IN_COMMAND = {
    "accumulate": ["--accumulate", "2"],
    "batch_norm": ["--norm", "batch"],
    "batch_size": ["--batch-size", "8"],
    "class_weight": ["--class-weight", "balanced"],
    "devices": ["--devices", "2"],
    "distributed": ["--distributed"],
    "ensemble": ["--ensemble", "2"],
    "group_column": ["--group-column", "g"],
    "histograms": ["--histograms"],
    "importance": ["--importance", "2"],
    "init_from": ["--init-from", "runs/a"],
    "kfac": ["--optimizer", "kfac"],
    "lbfgs": ["--optimizer", "lbfgs"],
    "many": ["--ensemble", "2"],
    "mesh": ["--mesh", "data=2"],
    "other_optimizer": ["--optimizer", "kfac"],
    "other_precision": ["--precision", "bf16"],
    "patience": ["--patience", "2"],
    "preset": ["--preset", "images"],
    "private": ["--private", "--epsilon", "3", "--delta", "1e-3"],
    "recompute": ["--recompute"],
    "select_best": ["--select", "best"],
    "shard_optimizer": ["--shard-optimizer"],
    "split_column": ["--split-column", "p"],
    "stream": ["--stream"],
}
FIT_ONLY = {"sample_weight", "start", "diagnostics", "stateful_layer", "ensemble_network",
            "validation_share"}  # fmt: skip
COMMAND_ONLY = {"distributed", "ensemble", "group_column", "histograms", "init_from", "preset",
                "split_column"}  # fmt: skip
NO_SUCH_LAYER = {"stateful_layer"}  # of ours only batch norm has figures
pairs = [(e.option, e.excluded_by) for e in EXCLUSIONS]


def saved(folder, x, y):
    """The paths of x and y as NPY files."""
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)
    return folder / "x.npy", folder / "y.npy"


def sentence(option, excluded_by):
    """The sentence of the pair; of two that are active at once, the first one's."""
    return next(str(e) for e in EXCLUSIONS if (e.option, e.excluded_by) == (option, excluded_by))


def test_every_setting_has_a_name_and_no_pair_stands_twice():
    assert {name for pair in pairs for name in pair} == set(SETTINGS)
    assert len({frozenset(pair) for pair in pairs}) == len(pairs)


@pytest.mark.parametrize("pair", pairs, ids="-".join)
def test_fit_refuses_the_pair(pair, tmp_path):
    if set(pair) & (COMMAND_ONLY | NO_SUCH_LAYER):
        with pytest.raises(InputError) as refused:
            check_compatible(dict.fromkeys(pair, True))
        assert str(refused.value) == sentence(*pair)
        return
    options = {}
    for name in pair:
        options |= IN_FIT.get(name, {})
    optimizer = next((OPTIMIZERS[name] for name in pair if name in OPTIMIZERS), "sgd")
    network = next((NETWORKS[name] for name in pair if name in NETWORKS), mlp([4], 3))
    data = labelled(40)
    if "stream" in pair:
        data = Streamed(open_npy(*saved(tmp_path, *data)))
    train = fit
    if "many" in pair:
        train, options["seeds"] = fit_many, [0, 1]
    with pytest.raises(InputError) as refused:
        train(network, LOSS, optimizer, data, **options)
    assert str(refused.value) == sentence(*pair)


@pytest.mark.parametrize("pair", [p for p in pairs if not set(p) & FIT_ONLY], ids="-".join)
def test_the_command_refuses_the_pair_with_the_same_sentence(pair, tmp_path, capsys):
    words = [word for name in pair for word in IN_COMMAND[name]]
    with pytest.raises(SystemExit) as ended:
        main(["train", "--data", "digits", "--out", str(tmp_path / "run"), *words])
    assert ended.value.code == 2
    said = capsys.readouterr().err.strip()
    twin = tuple("ensemble" if name == "many" else name for name in pair)
    assert said in {f"mlp-jax: {sentence(*p)}" for p in (pair, twin) if p in pairs}
    assert not (tmp_path / "run").exists()


def test_the_page_shows_the_table():
    page = Path(mlp_jax.__file__).parents[1] / "docs" / "options.md"
    assert markdown() in page.read_text(encoding="utf-8")
