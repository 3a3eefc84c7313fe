from dataclasses import fields, replace

import pytest

from mlp_jax.errors import InputError
from mlp_jax.training.run.config import TrainConfig, to_toml
from mlp_jax.training.sweep.config import RANGED, SweepConfig, read_sweep

ELSEWISE = SweepConfig(
    data="a.csv", target=("y",), task="regression", numeric=("n",), categorical=("c",),
    date=("d",), drop=("e",), no_header=True, separator=";", decimal=",",
    date_format="%d.%m.%Y", na_values=("x",), rare=2, scaling="robust",
    data_dir="f", hidden=("8,", "4"),
    activation="gelu", loss="huber", label_smoothing="0.1", dropout="0:0.5", norm="layer",
    residual=True, optimizer="lion", learning_rate="1e-3", schedule="cosine", warm_up=0.1,
    weight_decay="0,1", clip_norm=1.0, max_norm=3.0, batch_size=3, epochs=5, patience=2,
    average=0.9, importance=2,
    class_weight="balanced", metrics=("r2",), validation=0.3, test=0.1, split_column="p",
    group_column="g", seed=7, precision="float64", device="cpu", devices=2, deterministic=True,
    distributed=True, coordinator="h:1", processes=2, process_id=1, out="o",
    checkpoint_every="3 epochs", keep=5, resume="r", trials=4, seeds=2,
)  # fmt: skip


def test_every_option_that_a_sweep_shares_with_a_run_reaches_its_runs():
    run = ELSEWISE.of_a_run()
    shared = {f.name for f in fields(SweepConfig)} - {"hidden", "trials", "seeds", *RANGED}
    for name in shared:
        assert getattr(run, name) == getattr(ELSEWISE, name) != getattr(TrainConfig(), name), name


def test_only_what_a_sweep_cannot_do_is_left_to_a_run():
    left = {field.name for field in fields(TrainConfig)} - {f.name for f in fields(SweepConfig)}
    alone = {"select", "ensemble", "diagnostics", "histograms", "schedule_epochs", "init_from"}
    alone |= {"preset"}
    private = {"private", "epsilon", "delta", "clip_example", "input_range"}
    scale = {"mesh", "shard_optimizer", "accumulate", "recompute", "stream", "shards"}
    assert left == alone | private | scale


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
