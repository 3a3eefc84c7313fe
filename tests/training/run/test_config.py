import os
import tomllib
from dataclasses import replace

import pytest

from mlp_jax.errors import DataFileError, InputError
from mlp_jax.files import write_text_atomic
from mlp_jax.training.run.config import TrainConfig, read_config, resumed_config, to_toml

EVERYTHING = TrainConfig(
    data="idx:some folder",
    hidden=(8, 4, 2),
    activation="gelu",
    loss="focal",
    label_smoothing=0.1,
    dropout=0.25,
    norm="layer",
    residual=True,
    optimizer="lion",
    learning_rate=1e-4,
    schedule="one-cycle",
    warm_up=0.1,
    weight_decay=0.01,
    clip_norm=1.0,
    max_norm=3.0,
    batch_size=17,
    epochs=3,
    patience=2,
    average=0.99,
    importance=3,
    class_weight="balanced",
    metrics=("f1", "top3"),
    validation=0.15,
    test=0.3,
    seed=5,
    precision="bf16",
    device="cpu",
    histograms=True,
    out='a "folder"',
    select="last",
    target=("a", "-1"),
    task="regression",
    numeric=("n",),
    scaling="robust",
    no_header=True,
    split_column="part",
    checkpoint_every="2 epochs",
    schedule_epochs=7,
    init_from="runs/before",
    resume="runs/this",
)


@pytest.fixture
def read(tmp_path):
    def written(text):
        (tmp_path / "c.toml").write_text(text, encoding="utf-8")
        return read_config(tmp_path / "c.toml")

    return written


@pytest.mark.parametrize("config", [TrainConfig(), EVERYTHING, TrainConfig(hidden=())])
def test_a_configuration_makes_the_round_trip_without_the_folder_of_its_run(read, config):
    assert read(to_toml(config)) == replace(config, out=None, resume=None)


def test_what_is_none_is_left_out(read):
    assert "learning_rate" not in tomllib.loads(to_toml(TrainConfig()))


def test_names_have_dashes_or_underscores_and_the_rest_stays_at_its_default(read):
    assert read("batch-size = 5\nlearning_rate = 1e-2") == TrainConfig(
        batch_size=5, learning_rate=0.01
    )
    assert read("") == TrainConfig()


def test_a_whole_number_is_a_number(read):
    assert read("learning_rate = 1").learning_rate == 1.0
    assert type(read("dropout = 0").dropout) is float


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("learnig-rate = 1.0", "unknown key 'learnig-rate'. Did you mean 'learning_rate'?"),
        ("zzz = 1", "has an unknown key 'zzz'."),
        ("[model]\nhidden = [3]", "has an unknown key 'model'."),
        ('epochs = "many"', "'epochs' must be int, not 'many'."),
        ("epochs = 1.5", "'epochs' must be int, not 1.5."),
        ("epochs = true", "'epochs' must be int, not True."),
        ("dropout = true", "'dropout' must be float, not True."),
        ('learning-rate = "1e-3"', "'learning-rate' must be float, not '1e-3'."),
        ("residual = 1", "'residual' must be bool, not 1."),
        ("activation = 3", "'activation' must be str, not 3."),
        ("norm = false", "'norm' must be str, not False."),
        ("hidden = 512", "'hidden' must be a list of int, not 512."),
        ('hidden = [512, "x"]', "'hidden' must be a list of int, not [512, 'x']."),
        ("hidden = [512.0]", "'hidden' must be a list of int"),
        ('metrics = "f1"', "'metrics' must be a list of str, not 'f1'."),
        ("epochs = ", "is not a TOML file"),
        ("seed = 1\nseed = 2", "is not a TOML file"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(read, text, words):
    with pytest.raises(InputError) as caught:
        read(text)
    assert words in str(caught.value)
    assert "c.toml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_said_to_be_so(tmp_path):
    with pytest.raises(DataFileError, match="No such file"):
        read_config(tmp_path / "nowhere.toml")
    with pytest.raises(DataFileError, match="Is a directory"):
        read_config(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'data = "\xff"')
    with pytest.raises(InputError, match="is not a TOML file"):
        read_config(tmp_path / "latin.toml")


def test_a_resumed_run_keeps_its_schedule_unless_asked():
    saved = TrainConfig(epochs=10, schedule="cosine")
    more = resumed_config(saved, replace(saved, epochs=20, resume="run", keep=5), "run")
    assert (more.epochs, more.schedule_epochs, more.keep, more.resume) == (20, 10, 5, None)
    again = resumed_config(more, replace(more, epochs=40, resume="run"), "run")
    assert (again.epochs, again.schedule_epochs) == (40, 10)
    stretched = resumed_config(saved, replace(saved, epochs=20, schedule_epochs=20), "run")
    assert stretched.schedule_epochs == 20
    assert resumed_config(saved, replace(saved, resume="run"), "run") == saved


def test_other_options_than_the_runs_own_are_refused_each_one_named():
    saved = TrainConfig(hidden=(8, 8), dropout=0.1, learning_rate=None)
    asked = replace(saved, hidden=(8,), learning_rate=0.5, epochs=99)
    with pytest.raises(InputError) as caught:
        resumed_config(saved, asked, "runs/a")
    assert str(caught.value) == (
        "The run in runs/a cannot resume with changed options: learning-rate was unset and is now"
        " 0.5, hidden was 8 8 and is now 8."
    )


def test_a_path_that_is_no_utf_8_is_kept_in_the_file_and_read_back(tmp_path):
    name = os.fsdecode(b"caf\xe9 \xff.csv")
    config = TrainConfig(data=name)
    write_text_atomic(tmp_path / "config.toml", to_toml(config))
    assert (tmp_path / "config.toml").read_text(encoding="utf-8")
    assert read_config(tmp_path / "config.toml").data == name


def test_a_file_with_the_former_name_of_shards_is_read(tmp_path):
    (tmp_path / "c.toml").write_text("stream = true\nlanes = 8\n")
    assert read_config(tmp_path / "c.toml").shards == 8
