"""A Laplace approximation on disk: whole, of these weights, or refused in one sentence."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from model_cases import colour_model
from safetensors.numpy import load_file, save_file

from mlp_jax.errors import ModelFileError
from mlp_jax.model.laplace import Laplace, LaplaceFacts
from mlp_jax.model.laplace_file import FILE, save_laplace
from mlp_jax.model.model_folder import save_model
from mlp_jax.model.store import named_leaves
from mlp_jax.model.uncertain import load_laplace

RNG = np.random.default_rng(0)


def last_layer():
    facts = LaplaceFacts("last-layer", "evidence", 2.0, 1.0, -12.5, 8, 18)
    sizes = {"input_values": (6,), "input_vectors": (6, 6)}
    sizes |= {"output_values": (3,), "output_vectors": (3, 3)}
    return Laplace(facts, {name: RNG.uniform(size=size) for name, size in sizes.items()})


def diagonal(model):
    leaves = named_leaves(model.params, ()).items()
    arrays = {name: RNG.uniform(size=leaf.shape) for name, leaf in leaves}
    return Laplace(LaplaceFacts("diagonal", "validation", 2.0, 1.0, -12.5, 8, 93), arrays)


@pytest.fixture
def run(tmp_path):
    save_model(tmp_path / "run/model", colour_model())
    return tmp_path / "run"


@pytest.mark.parametrize("make", [last_layer, lambda: diagonal(colour_model())])
def test_what_was_saved_comes_back(run, make):
    laplace = make()
    assert save_laplace(run, laplace) == run / "model" / FILE
    found = load_laplace(run)
    assert found.laplace.facts == laplace.facts
    for name, values in laplace.arrays.items():
        np.testing.assert_array_equal(found.laplace.arrays[name], values.astype(np.float32))
    assert found.predict(RNG.normal(size=(3, 4))).shape == (3,)


def header(path, change):
    """The file with another header of our own, its arrays as they are."""
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    said = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["laplace"])
    change(said)
    save_file(load_file(path), path, {"laplace": json.dumps(said)})


def flipped(path):
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(bytes(data))


def infinite(path):
    save_file(
        {name: v + np.float32(np.inf) for name, v in load_file(path).items()}, path, said(path)
    )


def narrow(path):
    save_file({name: v[:2] for name, v in load_file(path).items()}, path, said(path))


def said(path):
    data = path.read_bytes()
    return json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])["__metadata__"]


FAULTS = {
    "There is no Laplace approximation in": lambda path: path.unlink(),
    "damaged or truncated safetensors file": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "truncated safetensors file": lambda path: path.write_bytes(pickle.dumps({"laplace": 1})),
    "the checksum of its arrays differs": flipped,
    "NaN or infinite": infinite,
    "has shape": narrow,
    "its header lacks the entry 'laplace'": lambda path: save_file(load_file(path), path),
    "reads 'mlp-jax laplace' version 1": lambda path: header(path, lambda h: h.update(version=2)),
    "must be positive": lambda path: header(path, lambda h: h["facts"].update(noise_variance=0.0)),
    "lacks the field 'weights'": lambda path: header(path, lambda h: h.pop("weights")),
    "must be one of 'last-layer', 'diagonal'": lambda path: header(
        path, lambda h: h["facts"].update(kind="full")
    ),
    "was fitted to other weights": lambda path: save_again(path.parent),
}


def save_again(folder):
    """Another model in the place of the one that was fitted, the file beside it."""
    kept = (folder / FILE).read_bytes()
    model = colour_model()
    save_model(
        folder, replace(model, params=[{k: 2 * v for k, v in p.items()} for p in model.params])
    )
    (folder / FILE).write_bytes(kept)


@pytest.mark.parametrize("sentence", FAULTS)
def test_a_file_that_is_not_one_is_refused(run, sentence):
    FAULTS[sentence](save_laplace(run, last_layer()))
    with pytest.raises(ModelFileError) as caught:
        load_laplace(run)
    text = str(caught.value)
    assert sentence in text
    assert "\n" not in text
    assert text.endswith(".")


def test_a_new_model_takes_the_old_approximation_away(run):
    save_laplace(run, last_layer())
    save_model(run / "model", colour_model())
    with pytest.raises(ModelFileError, match="run mlp-jax laplace to fit one"):
        load_laplace(run)


def test_without_a_model_nothing_is_written(tmp_path):
    with pytest.raises(ModelFileError, match="There is no saved model"):
        save_laplace(tmp_path, last_layer())
    assert list(tmp_path.iterdir()) == []
