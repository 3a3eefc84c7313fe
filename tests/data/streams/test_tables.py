"""Tables on disk against the same tables read and fitted in memory."""

from dataclasses import fields
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from mlp_jax.data.streams import frames as frames_module
from mlp_jax.data.streams import passes
from mlp_jax.data.streams.fitting import fit_table
from mlp_jax.data.streams.frames import open_frames
from mlp_jax.data.streams.order import keys_of
from mlp_jax.data.streams.stream import Stream
from mlp_jax.data.streams.tables import TableSource
from mlp_jax.data.tables.encode import encode
from mlp_jax.data.tables.fit import fit_encoding
from mlp_jax.data.tables.options import ColumnOptions
from mlp_jax.data.tables.read import read_table
from mlp_jax.data.tables.targets import encode_target, fit_target
from mlp_jax.errors import DataFileError, InputError, UnknownNameError

N = 5000


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(frames_module, "_BLOCK_BYTES", 20_000)
    monkeypatch.setattr(frames_module, "_TEXT_BYTES", 20_000)
    monkeypatch.setattr(frames_module, "_LEAST_ROWS", 64)


def columns(n=N):
    rng = np.random.default_rng(0)
    x = rng.normal(3.0, 2.0, n)
    x[rng.random(n) < 0.1] = np.nan
    days = [date(2020, 1, 1) + timedelta(days=int(k)) for k in rng.integers(0, 900, n)]
    words = np.array(["red", "green", "blue", "a, b", ""])[rng.integers(0, 5, n)].astype(object)
    words[17] = "once"
    odd = rng.integers(0, 50, n).astype(str).astype(object)
    odd[4000] = "?"
    return {
        "float": x,
        "wide": rng.normal(size=n) * 1e6 + 1e9,
        "whole": rng.integers(0, 1000, n),
        "late float": np.where(np.arange(n) < 4500, rng.integers(0, 9, n), 0.5),
        "word": words.tolist(),
        "yes or no": np.array(["yes", "No"])[rng.integers(0, 2, n)].tolist(),
        "odd number": odd.tolist(),
        "day": days,
        "constant": np.full(n, 4),
        "number": rng.normal(-5, 3, n),
        "label": np.array(["10", "9", "eight"])[rng.integers(0, 3, n)].tolist(),
    }


def write(folder, kind, data):
    frame = pl.DataFrame({name: pl.Series(name, v).fill_nan(None) if name == "float" else v
                          for name, v in data.items()})  # fmt: skip
    path = folder / f"table.{kind}"
    if kind == "csv":
        frame.write_csv(path)
    elif kind == "parquet":
        frame.write_parquet(path, row_group_size=700)
    else:
        path.mkdir()
        for k, start in enumerate((0, 1, 1900)):
            stop = (1, 1900, len(frame))[k]
            frame[start:stop].write_parquet(path / f"part-{k}.parquet", row_group_size=500)
    single = folder / "single.parquet"
    frame.write_parquet(single)
    return path, path if kind == "csv" else single


def check_close(found, expected):
    """Equal in every field, numbers to 1e-12."""
    assert type(found) is type(expected)
    for field in fields(expected):
        a, b = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(b, float) or (isinstance(b, tuple) and b and isinstance(b[0], float)):
            np.testing.assert_allclose(a, b, rtol=1e-12)
        else:
            assert a == b, field.name


@pytest.mark.parametrize("kind", ["csv", "parquet", "folder"])
@pytest.mark.parametrize(
    ("target", "kinds"),
    [("label", {}), ("number", {"whole": "categorical"}), ("whole", {"day": "categorical"})],
)
def test_one_pass_learns_what_all_rows_in_memory_would_teach(tmp_path, kind, target, kinds):
    path, same = write(tmp_path, kind, columns())
    table = read_table(same, targets=[target], kinds=kinds, drop=["wide"])
    encoding, notes = fit_encoding(table.frame, targets=[target], kinds=kinds)
    wanted, more = fit_target(table.frame, [target])
    opened = open_frames(path, as_text=tuple(kinds))
    inputs, predicted, found_notes = fit_table(opened, [target], kinds=kinds, drop=["wide"])
    assert found_notes == more + notes
    assert inputs.ignored == encoding.ignored
    check_close(predicted, wanted)
    assert [c.name for c in inputs.numeric] == [c.name for c in encoding.numeric]
    for a, b in zip(
        inputs.numeric + inputs.categorical, encoding.numeric + encoding.categorical, strict=True
    ):
        check_close(a, b)


@pytest.mark.parametrize("kind", ["csv", "parquet", "folder"])
def test_batches_are_the_encoded_rows_of_the_table(tmp_path, kind):
    path, same = write(tmp_path, kind, columns())
    opened = open_frames(path)
    inputs, target, _ = fit_table(opened, ["label"])
    frame = read_table(same, targets=["label"]).frame
    x, y = encode(inputs, frame), encode_target(target, frame)
    source = TableSource(opened, inputs, target)
    assert len(source.starts) > 5
    stream = Stream(source, 64, window=3)
    with stream.epoch(keys_of(0, 0)) as epoch:
        stacks = list(epoch)
    found = np.concatenate([s.x.reshape(-1, x.shape[1]) for s in stacks])
    labels = np.concatenate([s.y.reshape(-1) for s in stacks])
    counts = np.concatenate([s.weights.reshape(-1) for s in stacks]) == 1
    key = inputs.column_names.index("float"), 2  # 'float' with its indicator, then 'wide'
    order, same_order = np.argsort(found[counts][:, key[1]]), np.argsort(x[:, key[1]])
    np.testing.assert_array_equal(found[counts][order][:, 2], x[same_order][:, 2])
    together = np.column_stack([found[counts], labels[counts]])
    expected = np.column_stack([x, y])
    np.testing.assert_array_equal(
        together[np.lexsort(together.T)], expected[np.lexsort(expected.T)]
    )
    assert not np.array_equal(together, expected)


def test_a_column_that_is_text_further_down_is_read_as_text_from_the_start(tmp_path):
    path = tmp_path / "late.csv"
    rows = [f"0{k % 10},{k % 2}" for k in range(6000)] + ["x,1"] * 10
    path.write_text("code,y\n" + "\n".join(rows) + "\n")
    opened = open_frames(path)
    assert opened.read(0, ["code"])["code"][3] == "03"
    inputs, _, _ = fit_table(opened, ["y"])
    assert inputs.categorical[0].categories[:2] == ("00", "01")


def test_words_that_are_numbers_need_not_be_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(passes, "MOST_WORDS", 100)
    values = np.random.default_rng(0).normal(size=N)
    text = [f"{v}" for v in values]
    text[4321] = "NA"
    pl.DataFrame({"x": text, "y": np.arange(N) % 2}).write_csv(tmp_path / "t.csv")
    inputs, _, _ = fit_table(open_frames(tmp_path / "t.csv"), ["y"])
    known = np.delete(values, 4321)
    assert inputs.numeric[0].indicator
    np.testing.assert_allclose(inputs.numeric[0].center, known.mean(), rtol=1e-12)
    np.testing.assert_allclose(inputs.numeric[0].scale, 1 / known.std(), rtol=1e-12)


def test_numbers_of_a_form_may_be_of_any_number_once_their_form_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(passes, "MOST_WORDS", 100)
    values = np.round(np.random.default_rng(0).normal(size=N) * 1e4, 2)
    dollars = [f"${v:,.2f}".replace("$-", "-$") for v in values]
    days = [f"{k % 28 + 1:02d}.{k // 28 % 12 + 1:02d}.{1990 + k // 336}" for k in range(N)]
    frame = pl.DataFrame({"x": dollars, "day": days, "y": np.arange(N) % 2})
    frame.write_csv(tmp_path / "t.csv")
    opened = open_frames(tmp_path / "t.csv")
    inputs, _, notes = fit_table(opened, ["y"])
    np.testing.assert_allclose(inputs.numeric[0].center, values.mean(), rtol=1e-12)
    np.testing.assert_allclose(inputs.numeric[0].scale, 1 / values.std(), rtol=1e-12)
    wanted = [date(int(d[6:]), int(d[3:5]), int(d[:2])).toordinal() for d in days]
    center = np.mean(wanted) - date(1970, 1, 1).toordinal()
    np.testing.assert_allclose(inputs.numeric[1].center, center, rtol=1e-12)
    assert any("'x' holds numbers like" in note for note in notes)


def test_too_many_words_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(passes, "MOST_WORDS", 100)
    pl.DataFrame({"id": [f"n{k}" for k in range(N)], "y": np.arange(N) % 2}).write_parquet(
        tmp_path / "t.parquet"
    )
    with pytest.raises(
        InputError, match=r"Column 'id' has more than 100 .* --drop 'id' leaves it out"
    ):
        fit_table(open_frames(tmp_path / "t.parquet"), ["y"])


def test_a_header_of_none_gives_names_by_number(tmp_path):
    path = tmp_path / "bare.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "".join(f"{k}.5,{k % 3}\n" for k in range(3000)).encode())
    opened = open_frames(path, header=False)
    inputs, target, _ = fit_table(opened, ["1"])
    source = TableSource(opened, inputs, target)
    x = np.concatenate([source.read_block(k).x[:, 0] for k in range(len(source.starts) - 1)])
    raw = np.arange(3000) + 0.5
    np.testing.assert_allclose(x, (raw - raw.mean()) / raw.std(), rtol=1e-5, atol=1e-6)
    assert not inputs.header


@pytest.mark.parametrize(
    ("groups", "most", "rows"),
    [
        ([10, 10, 10], 25, [20, 10]),
        ([10, 10, 10], 9, [5, 5, 5, 5, 5, 5]),
        ([3, 30, 4, 5, 1], 10, [3, 10, 10, 10, 10]),
        ([10, 10], 10, [10, 10]),
        ([], 10, []),
    ],
)
def test_slices_are_row_groups_together_or_parts_of_one(groups, most, rows):
    slices = frames_module._slices(Path("t"), groups, most)
    assert [part.rows for part in slices] == rows
    assert [part.first for part in slices] == [sum(rows[:k]) for k in range(len(rows))]


def parquet(path, **data):
    pl.DataFrame(data).write_parquet(path)


def test_files_of_a_folder_must_have_the_same_columns(tmp_path):
    parquet(tmp_path / "a.parquet", x=[1.0, 2.0], y=[0, 1])
    parquet(tmp_path / "b.parquet", y=[0, 1])
    with pytest.raises(InputError, match=r"b\.parquet' has no column 'x', which '.*a\.parquet'"):
        open_frames(tmp_path)
    parquet(tmp_path / "b.parquet", x=[1.0], y=[0], z=[3])
    with pytest.raises(InputError, match=r"a\.parquet' has no column 'z', which '.*b\.parquet'"):
        open_frames(tmp_path)
    parquet(tmp_path / "b.parquet", x=["1"], y=[0])
    with pytest.raises(InputError, match=r"Column 'x' holds Float64 in '.*', but String in"):
        open_frames(tmp_path)


def test_the_columns_of_a_folder_may_stand_in_any_order(tmp_path):
    parquet(tmp_path / "a.parquet", x=[1.0, 2.0], y=[0, 1])
    parquet(tmp_path / "b.parquet", y=[1], x=[3.0])
    opened = open_frames(tmp_path)
    assert [opened.read(k, ["x"])["x"].to_list() for k in range(2)] == [[1.0, 2.0], [3.0]]


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("t.parquet", b"PAR1 and no more", DataFileError, "truncated Parquet"),
        ("t.parquet", b"", DataFileError, "is empty"),
        ("t.parquet", b"PAR1" + b"\0" * 50 + b"PAR1", DataFileError, "damaged Parquet"),
        ("t.csv.gz", b"", DataFileError, "gunzip it first"),
        ("t.csv", b"", DataFileError, "is empty"),
        ("t.csv", b"a,b\n", InputError, "no rows below its header"),
        ("t.csv", b"a,b\n1,2\n3\n", DataFileError, "Line 3 .* has 1 field"),
        ("t.csv", b"a,b\n1,2\n3,\xff\n", DataFileError, "not UTF-8"),
        ("t.csv", b"a,a\n1,2\n", InputError, "more than one column called 'a'"),
        ("t.txt", b"a", UnknownNameError, "Unknown kind of table file"),
    ],
)
def test_what_is_no_table_is_refused_in_a_sentence(tmp_path, name, content, error, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=message):
        open_frames(tmp_path / name)


def test_a_file_or_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(DataFileError, match="There is no file"):
        open_frames(tmp_path / "no.csv")
    with pytest.raises(DataFileError, match=r"has no \.parquet file"):
        open_frames(tmp_path)


def test_a_file_that_changes_below_a_stream_is_refused(tmp_path):
    path, _ = write(tmp_path, "csv", columns())
    opened = open_frames(path)
    path.write_bytes(path.read_bytes()[:30_000])
    with pytest.raises(DataFileError, match="was changed after it was opened"):
        opened.read(len(opened.starts) - 2, ["whole"])


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_target_without_value_is_refused_with_its_row(tmp_path, kind):
    data = columns()
    data["label"][3456] = data["label"][4000] = None
    path, _ = write(tmp_path, kind, data)
    with pytest.raises(
        InputError, match=r"'label' has no value in row 3456 \(2 such training rows\)"
    ):
        fit_table(open_frames(path), ["label"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": ["labels"]}, "has no column 'labels' .*nearest is 'label'"),
        ({"targets": []}, "No target is named"),
        ({"drop": ["nothing"]}, "has no column 'nothing'"),
        ({"options": ColumnOptions(scaling="quantile")}, "not by 'quantile'"),
        ({"targets": ["wide"], "task": "classification"}, "more than 1000 different values"),
    ],
)
def test_what_cannot_be_learned_is_refused(tmp_path, monkeypatch, options, message):
    monkeypatch.setattr("mlp_jax.data.streams.fitting._MOST_DISTINCT", 1000)
    path, _ = write(tmp_path, "parquet", columns())
    with pytest.raises(InputError, match=message):
        fit_table(open_frames(path), **{"targets": ["label"], **options})
