"""A saved model is whole or absent, and a file that is not one is refused in one sentence."""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from model_cases import binary_model, colour_model, regression_model
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from mlp_jax.errors import ModelFileError, RunFolderError
from mlp_jax.model.model_folder import load_model, save_model
from mlp_jax.model.saved import Model

SAVE_FOREVER = """
import sys
sys.path[:0] = sys.argv[2:]
from model_cases import colour_model
from mlp_jax.model.model_folder import save_model
models = [colour_model(), colour_model((6,))]
while True:
    for model in models:
        save_model(sys.argv[1], model)
        print("saved", flush=True)
"""


@pytest.fixture
def run(tmp_path):
    save_model(tmp_path / "run/model", colour_model(norm="batch"))
    return tmp_path / "run"


def tensors(run):
    return load_file(run / "model/model.safetensors")


def rewrite(run, arrays):
    save_file(arrays, run / "model/model.safetensors")


def edit(run, change):
    path = run / "model/model.json"
    description = json.loads(path.read_text())
    change(description)
    path.write_text(json.dumps(description))


def refusal(run):
    with pytest.raises(ModelFileError) as caught:
        load_model(run)
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    return text


def test_the_weights_can_be_read_by_safetensors_itself(run):
    model = colour_model(norm="batch")
    with safe_open(run / "model/model.safetensors", framework="numpy") as file:
        assert set(file.keys()) >= {"0.W", "0.b", "1.scale", "state.1.mean", "6.b"}
        np.testing.assert_array_equal(file.get_tensor("0.W"), model.params[0]["W"])
        np.testing.assert_array_equal(
            file.get_tensor("state.1.variance"), model.layer_state[1]["variance"]
        )


def test_the_description_reads_like_what_it_describes(run):
    said = json.loads((run / "model/model.json").read_text())
    assert (said["format"], said["version"]) == ("mlp-jax model", 1)
    assert said["network"]["layers"][0] == {
        "type": "Dense", "n_out": 7, "activation": "identity", "initializer": "glorot_uniform",
        "bias": True,
    }  # fmt: skip
    assert said["target"]["classes"] == ["red", "green", "blue"]
    assert said["metrics"] == {"accuracy": 0.75}
    assert said["tensors"]["0.W"] == {"dtype": "float32", "shape": [4, 7]}
    assert said["about"] == {"data": "colours"}


def test_the_run_and_the_folder_in_it_are_the_same_model(run):
    x = np.ones((3, 4))
    for path in (run, run / "model", str(run)):
        np.testing.assert_array_equal(load_model(path).predict(x), load_model(run).predict(x))


def test_what_was_saved_last_is_there_and_nothing_beside_it(run):
    save_model(run / "model", binary_model())
    assert load_model(run).classes == ("no", "yes")
    assert sorted(p.name for p in run.iterdir()) == ["model"]
    assert sorted(p.name for p in (run / "model").iterdir()) == ["model.json", "model.safetensors"]


def test_a_process_killed_while_it_saves_leaves_a_whole_model(tmp_path):
    folder, here = tmp_path / "run/model", str(Path(__file__).parent)
    words = [sys.executable, "-c", SAVE_FOREVER, str(folder), here]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    rng = np.random.default_rng(3)
    for _ in range(3):
        with subprocess.Popen(words, stdout=subprocess.PIPE, env=environment) as process:
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.05))
            process.send_signal(signal.SIGKILL)
        assert load_model(tmp_path / "run").classes == ("red", "green", "blue")
    save_model(folder, binary_model())
    assert sorted(p.name for p in (tmp_path / "run").iterdir()) == ["model"]


@pytest.mark.parametrize("moment", ["before the new one", "after the new one"])
def test_between_two_renames_one_of_the_two_is_found(run, monkeypatch, moment):
    """Stops dead at a rename, as a kill would: the clean-up after it does not run either."""
    rename = Path.rename

    class Killed(BaseException):
        pass

    def stop(self, target):
        if self.name == ".model.new":
            if moment == "after the new one":
                rename(self, target)
            raise Killed
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", stop)
    monkeypatch.setattr("mlp_jax.model.store.shutil.rmtree", lambda *_, **__: None)
    with pytest.raises(Killed):
        save_model(run / "model", binary_model())
    monkeypatch.undo()
    expected = ("no", "yes") if moment == "after the new one" else ("red", "green", "blue")
    for path in (run, run / "model"):
        assert load_model(path).classes == expected
    save_model(run / "model", regression_model())
    assert load_model(run).target.task == "regression"
    assert sorted(p.name for p in run.iterdir()) == ["model"]


def test_a_full_disk_is_told_and_the_model_before_stays(run, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mlp_jax.files.os.fsync", full)
    with pytest.raises(RunFolderError, match="No space left on device"):
        save_model(run / "model", binary_model())
    assert load_model(run).classes == ("red", "green", "blue")
    assert sorted(p.name for p in run.iterdir()) == ["model"]


def test_nothing_that_could_not_be_read_back_is_saved(tmp_path):
    model = colour_model()
    broken = dict(vars(model))
    broken["params"] = (*model.params[:-1], {**model.params[-1], "b": np.full(3, np.nan)})
    with pytest.raises(ModelFileError, match=r"cannot be saved: '2\.b'"):
        save_model(tmp_path / "model", Model(**broken))
    assert list(tmp_path.iterdir()) == []


def test_no_model_at_all_is_said_with_what_would_be_there(tmp_path):
    assert "There is no saved model in" in refusal(tmp_path)
    assert "There is no run" in refusal(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_half_of_a_model_is_none(run, name):
    (run / "model" / name).unlink()
    assert f"{name}' is missing" in refusal(run)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_truncated_weights_file_is_refused(run, keep):
    path = run / "model/model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    assert "damaged or truncated safetensors file" in refusal(run)


def test_a_pickle_in_place_of_the_weights_is_never_loaded(run, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    (run / "model/model.safetensors").write_bytes(pickle.dumps(Trap()))
    assert "damaged or truncated safetensors file" in refusal(run)
    assert not (tmp_path / "sprung").exists()


def wrong_shape(arrays):
    arrays["0.W"] = np.zeros((5, 7), np.float32)


def transposed(arrays):
    arrays["0.W"] = np.ascontiguousarray(arrays["0.W"].T)


def wrong_dtype(arrays):
    arrays["0.b"] = arrays["0.b"].astype(np.float16)


def not_a_number(arrays):
    arrays["3.W"][0, 0] = np.nan


def infinite(arrays):
    arrays["state.1.mean"][1] = np.inf


def extra(arrays):
    arrays["7.W"] = np.zeros(3, np.float32)


def missing(arrays):
    del arrays["6.b"]


def other_values(arrays):
    arrays["6.b"] += 1


@pytest.mark.parametrize(
    ("tamper", "words"),
    [
        (wrong_shape, "'0.W' has shape (5, 7), but the network has (4, 7)"),
        (transposed, "'0.W' has shape (7, 4), but the network has (4, 7)"),
        (wrong_dtype, "'0.b' is float16, but the model's precision needs float32"),
        (not_a_number, "'3.W' has values that are NaN or infinite"),
        (infinite, "'state.1.mean' has values that are NaN or infinite"),
        (extra, "it has the tensor '7.W', which the network does not have"),
        (missing, "the tensor '6.b' is missing"),
        (other_values, "is not the file that model.json was written with"),
    ],
)
def test_weights_that_are_not_this_models_are_refused(run, tamper, words):
    arrays = tensors(run)
    tamper(arrays)
    rewrite(run, arrays)
    assert words in refusal(run)


def setter(*path, value):
    def change(description):
        for step in path[:-1]:
            description = description[step]
        description[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (setter("version", value=2), "its format has version 2, and this mlp-jax reads 1"),
        (setter("version", value=True), "its format has version True"),
        (setter("format", value="other"), 'lacks the mark "format"'),
        (setter("network", "type", value="Popen"), "'network' has the type 'Popen'"),
        (setter("network", "layers", 0, "type", value="Loss"), "has the type 'Loss', but must"),
        (setter("network", "layers", 0, "n_out", value="7"), "n_out must be a whole number"),
        (setter("network", "layers", 0, "n_out", value=10**18), "has shape (4, 7), but"),
        (setter("network", "layers", 0, "n_out", value=10**40), "has shape (4, 7), but"),
        (setter("network", "layers", 0, "n_out", value=8), "has shape (4, 7), but the network has"),
        (setter("network", "layers", 0, "n_out", value=0), "a width of at least 1, not 0"),
        (setter("network", "layers", 0, "run", value="x"), "has the field 'run', which a Dense"),
        (setter("loss", "name", value="eval"), "Unknown loss 'eval'"),
        (setter("loss", "name", value="squared_error"), "does not fit the task classification"),
        (setter("inputs", "n_features", value=5), "scales and 4 offsets"),
        (setter("inputs", "n_features", value=-1), "scales"),
        (setter("target", "classes", value=["a", "b"]), "3 outputs do not fit 2 classes"),
        (setter("target", "classes", value=["a", "b", "a"]), "A class is listed twice"),
        (setter("precision", value="float8"), "Unknown precision 'float8'"),
        (setter("metrics", "accuracy", value="1"), "the metric 'accuracy' must be a number"),
        (setter("about", value=3), "'about' must be an object"),
        (setter("more", value=3), "unknown entry 'more'"),
        (setter("sha256", value="0" * 64), "its checksum differs"),
        (setter("tensors", value={}), "its checksum differs"),
    ],
)
def test_a_description_that_was_tampered_with_is_refused(run, change, words):
    edit(run, change)
    assert words in refusal(run)


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff\xfe", b'{"a": NaN}', b"[" * 10**5])
def test_a_description_that_is_no_json_object_is_refused(run, text):
    (run / "model/model.json").write_bytes(text)
    assert "does not describe a model" in refusal(run)


def test_layers_nested_without_end_are_refused(run):
    deep = '{"type": "Residual", "shortcut": null, "body": ' * 300 + "1" + "}" * 300

    def change(description):
        description["network"] = "HERE"

    edit(run, change)
    path = run / "model/model.json"
    path.write_text(path.read_text().replace('"HERE"', deep))
    assert "does not describe a model" in refusal(run)
