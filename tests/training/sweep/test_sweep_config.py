from dataclasses import fields, replace

import pytest
from training_cases import other_values

from mlp_jax.errors import InputError
from mlp_jax.training.fit_options import SingleNetworkOptions
from mlp_jax.training.run.config import TrainConfig, to_toml
from mlp_jax.training.run.options import (
    DiagnosticsOptions,
    PrivateOptions,
    RecipeOptions,
    StreamOptions,
)
from mlp_jax.training.sweep.config import RANGED, SweepConfig, read_sweep

ELSEWISE = SweepConfig(
    **other_values(SweepConfig())
    | {"hidden": ("8,", "4"), "learning_rate": "1e-3", "weight_decay": "0,1", "dropout": "0:0.5",
       "label_smoothing": "0.1"}
)  # fmt: skip


def test_every_option_that_a_sweep_shares_with_a_run_reaches_its_runs():
    run = ELSEWISE.of_a_run()
    shared = {f.name for f in fields(SweepConfig)} - {"hidden", "trials", "seeds", *RANGED}
    for name in shared:
        assert getattr(run, name) == getattr(ELSEWISE, name) != getattr(TrainConfig(), name), name


def test_only_what_a_sweep_cannot_do_is_left_to_a_run():
    left = {field.name for field in fields(TrainConfig)} - {f.name for f in fields(SweepConfig)}
    alone = (RecipeOptions, SingleNetworkOptions, StreamOptions, PrivateOptions, DiagnosticsOptions)
    assert left == {field.name for group in alone for field in fields(group)}


@pytest.mark.parametrize("config", [SweepConfig(), ELSEWISE])
def test_the_options_make_the_round_trip_without_folder_and_processes(tmp_path, config):
    (tmp_path / "s.toml").write_text(to_toml(config))
    alone = replace(config, distributed=False, coordinator=None, processes=None, process_id=None)
    assert read_sweep(tmp_path / "s.toml") == replace(alone, out=None, resume=None)


def test_a_file_with_an_option_that_a_sweep_has_not_is_refused(tmp_path):
    (tmp_path / "s.toml").write_text("ensemble = 3")
    with pytest.raises(InputError, match="has an unknown key 'ensemble'"):
        read_sweep(tmp_path / "s.toml")
    (tmp_path / "s.toml").write_text("learning-rate = 0.1")
    with pytest.raises(InputError, match=r"'learning-rate' must be str, not 0\.1"):
        read_sweep(tmp_path / "s.toml")
