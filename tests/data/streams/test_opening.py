"""A file or folder as rows that stream, and the rows held out of them in memory."""

import numpy as np
import polars as pl
import pytest

from mlp_jax.data.encoding import ArrayEncoding
from mlp_jax.data.idx import FILES, write_idx
from mlp_jax.data.source import some_rows
from mlp_jax.data.streams import opening
from mlp_jax.data.streams.opening import Asked, fingerprint, prepare_stream
from mlp_jax.data.streams.statistics import chunks
from mlp_jax.errors import DataFileError, InputError, UnknownNameError

N = 400
RNG = np.random.default_rng(0)
X = RNG.normal(5, 2, (N, 3)).astype(np.float32)
WORDS = RNG.choice(["red", "green", "blue"], N)
Y = RNG.integers(0, 2, N)
ASKED = Asked(test=0.2, validation=0.1, seed=0)


def frame():
    return pl.from_numpy(X, ["a", "b", "c"]).with_columns(
        color=pl.Series(WORDS), label=pl.Series(Y)
    )


def npy(folder):
    np.save(folder / "x.npy", X)
    np.save(folder / "y.npy", Y)
    return str(folder)


def parquet(folder):
    (folder / "t").mkdir()
    for k in range(4):
        frame()[100 * k : 100 * (k + 1)].write_parquet(folder / "t" / f"{k}.parquet")
    return str(folder / "t")


def csv(folder):
    frame().write_csv(folder / "t.csv")
    return str(folder / "t.csv")


def rows_of(data):
    """The (a, b, c) of the training, validation and test rows, in their own units."""
    parts = [np.concatenate([rows.x for _, rows in chunks(data.train.source)])]
    parts += [data.validation.x, data.test.x]
    if isinstance(data.inputs, ArrayEncoding):
        return parts
    columns = data.inputs.numeric
    scale = np.array([c.scale for c in columns])
    center = np.array([c.center for c in columns])
    return [p[:, :3] / scale + center for p in parts]


@pytest.mark.parametrize("make", [npy, parquet, csv])
def test_training_validation_and_test_rows_are_all_rows_and_disjoint(tmp_path, make):
    data = prepare_stream(make(tmp_path), ASKED)
    parts = rows_of(data)
    assert [len(part) for part in parts] == [280, 40, 80]
    assert len(data.train) == 280
    found = np.concatenate(parts)
    order, expected = np.argsort(found[:, 0]), np.argsort(X[:, 0])
    np.testing.assert_allclose(found[order], X[expected], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("make", [npy, parquet, csv])
def test_the_scaling_is_that_of_the_training_rows_alone(tmp_path, make):
    data = prepare_stream(make(tmp_path), ASKED)
    train, _, _ = rows_of(data)
    if isinstance(data.inputs, ArrayEncoding):
        np.testing.assert_allclose(data.inputs.scale, 1 / train.std(0, dtype=np.float64), rtol=1e-6)
    else:
        center = [column.center for column in data.inputs.numeric]
        np.testing.assert_allclose(center, train.mean(0), rtol=1e-6)
    assert data.target.classes == ("0", "1")


@pytest.mark.parametrize("make", [npy, parquet, csv])
def test_a_model_s_encodings_are_taken_as_they_are(tmp_path, make):
    spec = make(tmp_path)
    first = prepare_stream(spec, ASKED)
    again = prepare_stream(spec, ASKED._replace(seed=5), (first.inputs, first.target))
    assert again.inputs == first.inputs
    assert again.target == first.target
    assert not np.array_equal(again.test.x, first.test.x)


def test_an_idx_folder_keeps_its_own_test_rows(tmp_path):
    images = RNG.integers(0, 256, (60, 4, 4)).astype(np.uint8)
    labels = np.arange(60, dtype=np.uint8) % 10
    for name, values in zip(FILES, (images, labels, images[:20], labels[:20]), strict=True):
        write_idx(tmp_path / name, values)
    data = prepare_stream(f"idx:{tmp_path}", ASKED)
    assert (len(data.train), len(data.validation)) == (54, 6)
    np.testing.assert_array_equal(data.test.x, images[:20].reshape(20, 16))
    assert data.inputs.image_shape == (4, 4)
    assert len(data.target.classes) == 10
    with pytest.raises(InputError, match="holds classes"):
        prepare_stream(str(tmp_path), ASKED._replace(task="regression"))


def test_rows_held_out_are_bounded_by_memory_and_a_note_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(opening, "HELD_BYTES", 30 * 4 * 3)
    data = prepare_stream(npy(tmp_path), ASKED)
    assert (len(data.train), len(data.validation), len(data.test)) == (340, 30, 30)
    assert data.notes == (
        "validation: 30 rows and not 40, for the rows held out stay in memory.",
        "test: 30 rows and not 80, for the rows held out stay in memory.",
    )


def test_some_rows_are_spread_over_all(tmp_path):
    data = prepare_stream(npy(tmp_path), ASKED)
    few = some_rows(data.train, 5)
    all_rows, _, _ = rows_of(data)
    np.testing.assert_array_equal(few.x, all_rows[[0, 69, 139, 209, 279]])


def test_a_fingerprint_tells_files_that_differ_in_size_name_or_ends(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"0" * 100)
    first = fingerprint([path])
    assert first == fingerprint([path])
    path.write_bytes(b"0" * 99 + b"1")
    second = fingerprint([path])
    path.write_bytes(b"0" * 101)
    third = fingerprint([path])
    assert len({first, second, third, fingerprint([path.rename(tmp_path / "b")])}) == 4


@pytest.mark.parametrize(
    ("spec", "changed", "error", "message"),
    [
        ("digits", {}, InputError, "'digits' cannot stream: --stream reads a folder of Parquet"),
        ("none.csv", {}, DataFileError, "There is no file"),
        ("t.csv", {"targets": ("colour",)}, InputError, "no column 'colour'"),
        ("t.csv", {"drop": ("nothing",)}, InputError, "no column 'nothing'"),
        ("t.csv", {"drop": ("label",)}, InputError, "both the target and to be dropped"),
        ("t.csv", {"kinds": {"x": "numeric"}}, (InputError, UnknownNameError), "x"),
        ("t.csv", {"test": 0.9999}, InputError, "leave no training row of 400"),
        ("t.csv", {"validation": 0.001}, InputError, "validation fraction of 0.001 leaves no"),
        ("t.csv", {"validation": -0.1}, InputError, "at least 0 and less than 1"),
        (".", {"targets": ("label",)}, InputError, "--target is for tables"),
    ],
    ids=str,
)
def test_what_cannot_stream_is_refused_in_a_sentence(tmp_path, spec, changed, error, message):
    npy(tmp_path)
    csv(tmp_path)
    path = spec if spec == "digits" else str(tmp_path / spec)
    with pytest.raises(error, match=message):
        prepare_stream(path, ASKED._replace(**changed))
