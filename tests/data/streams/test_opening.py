"""A file or folder as rows that stream, and the rows held out of them in memory."""

import numpy as np
import polars as pl
import pytest
from idx_files import write_idx

from mlp_jax.data.encoding import ArrayEncoding
from mlp_jax.data.idx import FILES
from mlp_jax.data.source import some_rows
from mlp_jax.data.streams import opening
from mlp_jax.data.streams.opening import StreamSettings, fingerprint, prepare_stream
from mlp_jax.data.streams.statistics import chunks
from mlp_jax.errors import DataFileError, InputError, UnknownNameError

N = 400
RNG = np.random.default_rng(0)
X = RNG.normal(5, 2, (N, 3)).astype(np.float32)
WORDS = RNG.choice(["red", "green", "blue"], N)
Y = RNG.integers(0, 2, N)
ASKED = StreamSettings(test=0.2, validation=0.1, seed=0)


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
        "Target y: classification with 2 classes, since it holds 2 different whole numbers"
        " (--task regression predicts numbers).",
        "validation: 30 rows instead of 40, because held-out rows stay in memory.",
        "test: 30 rows instead of 80, because held-out rows stay in memory.",
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
        ("digits", {}, InputError, "'digits' cannot be streamed: --stream reads a folder of"),
        ("none.csv", {}, DataFileError, "There is no file"),
        ("t.csv", {"targets": ("colour",)}, InputError, "no column 'colour'"),
        ("t.csv", {"drop": ("nothing",)}, InputError, "no column 'nothing'"),
        ("t.csv", {"drop": ("label",)}, InputError, "is the target, so it cannot be dropped"),
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


def test_a_row_without_a_target_is_named_as_the_file_counts(tmp_path):
    broken = frame().with_columns(
        label=pl.when(pl.int_range(N) == 390).then(None).otherwise("label")
    )
    broken.write_csv(tmp_path / "t.csv")
    for seed in range(3):
        with pytest.raises(InputError, match=r"no value in row 390\b"):
            prepare_stream(str(tmp_path / "t.csv"), ASKED._replace(seed=seed))


@pytest.mark.parametrize("row", [0, 200, 399])
@pytest.mark.parametrize("seed", [0, 1, 2])  # among the rows to train on, or held out
def test_a_value_that_is_no_number_is_named_as_the_file_counts(tmp_path, row, seed):
    x = X.copy()
    x[row, 1] = np.nan
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", Y)
    with pytest.raises(InputError, match=rf"x has a value .* in row {row}, column 1"):
        prepare_stream(str(tmp_path), ASKED._replace(seed=seed))


def test_rows_held_out_of_a_class_that_training_has_not_are_left_aside(tmp_path):
    found = []
    for row in range(30):
        words = np.where(np.arange(N) == row, "rare", np.where(Y, "u", "v"))
        frame().with_columns(label=pl.Series(words)).write_csv(tmp_path / "t.csv")
        data = prepare_stream(str(tmp_path / "t.csv"), ASKED)
        held = len(data.validation) + len(data.test)
        found.append((data.target.classes, held, data.notes[2:]))  # after those on the target
    note = ("1 held-out row is left out: no training row has their class.",)
    assert set(found) == {(("rare", "u", "v"), 120, ()), (("u", "v"), 119, note)}


def test_rows_held_out_are_bounded_by_their_features_not_their_columns(tmp_path, monkeypatch):
    days = pl.datetime_range(
        pl.datetime(2020, 1, 1), pl.datetime(2020, 1, 1) + pl.duration(hours=7 * (N - 1)), "7h",
        eager=True,
    )  # fmt: skip
    frame().select("label", when=days).write_parquet(tmp_path / "t.parquet")
    monkeypatch.setattr(opening, "HELD_BYTES", 40 * 4 * 2)
    data = prepare_stream(str(tmp_path / "t.parquet"), ASKED)
    width = data.inputs.n_features
    assert width > 4
    assert len(data.test) == len(data.validation) == 320 // (4 * width)
    assert len(data.notes) == 5  # two of the target, then of the columns, then of the features


def test_a_column_that_was_a_feature_of_the_model_may_be_predicted(tmp_path):
    first = prepare_stream(csv(tmp_path), ASKED)
    asked = ASKED._replace(targets=("b",))
    data = prepare_stream(str(tmp_path / "t.csv"), asked, (first.inputs, None))
    assert data.target.names == ("b",)
    assert len(data.test) == 80
