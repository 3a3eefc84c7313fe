"""How a file of delimited text is written: separators, blank lines, leading zeros."""

import numpy as np
import polars as pl
import pytest

from mlp_jax.data.load import load
from mlp_jax.data.prepare import prepare
from mlp_jax.data.streams import frames
from mlp_jax.data.streams.fitting import fit_table
from mlp_jax.data.streams.frames import open_frames
from mlp_jax.data.streams.opening import StreamSettings, prepare_stream
from mlp_jax.data.tables import delimited
from mlp_jax.data.tables.encode import encode
from mlp_jax.data.tables.options import ColumnOptions, TextOptions
from mlp_jax.data.tables.read import read_table
from mlp_jax.data.tables.targets import fit_target
from mlp_jax.errors import DataFileError, InputError
from mlp_jax.model.rows import load_for
from mlp_jax.model.sources import batches

ROWS = "".join(f"{k / 8:.3f},{k % 7},{'pq'[k % 2]}\n" for k in range(60))


def written(folder, text, name="t.csv"):
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize(
    ("text", "separator", "columns"),
    [
        ('"Weight, kg";b;y\n1;2;p\n3;4;q\n', ";", ["Weight, kg", "b", "y"]),
        ("Weight, kg;b;y\n1;2;p\n3;4;q\n", ";", ["Weight, kg", "b", "y"]),
        ("a;b;y\n1,5;2,5;p\n3,5;4,5;q\n", ";", ["a", "b", "y"]),
        ("a\tb, c\ty\n1\t2\tp\n", "\t", ["a", "b, c", "y"]),
        ("a|b;c|y\n1|2|p\n", "|", ["a", "b;c", "y"]),
        ("a,b,y\n1,x;y,p\n2,z;w,q\n", ",", ["a", "b", "y"]),
        ('a,b,y\n1,"x;y;z",p\n2,"z;w;v",q\n', ",", ["a", "b", "y"]),
        ("sep=;\na;b;y\n1;2;p\n", ";", ["a", "b", "y"]),
        ("SEP=|\r\na|b|y\r\n1|2|p\r\n", "|", ["a", "b", "y"]),
        ("y\nword, with a comma\n", ",", None),
    ],
)
def test_the_separator_is_found_from_several_lines(tmp_path, text, separator, columns):
    path = written(tmp_path, text)
    form = delimited.read_format(path, None)
    assert form.separator == separator
    if columns is None:
        return
    table = read_table(path)
    assert table.frame.columns == columns
    said = any("separated by" in note for note in table.notes)
    assert said == (separator != "," and "sep=" not in text.lower())


def test_the_separator_can_be_said(tmp_path):
    path = written(tmp_path, "a:b:y\n1:2:p\n3:4:q\n")
    assert read_table(path, text=TextOptions(separator=":")).frame.columns == ["a", "b", "y"]
    with pytest.raises(InputError, match="one character"):
        TextOptions(separator="::")


BLANK = {
    "last": lambda rows: rows + "\n",
    "first": lambda rows: "\n" + rows,
    "between": lambda rows: rows.replace("\n", "\n\n", 30),
    "spaces": lambda rows: rows.replace("\n", "\n   \n", 5),
    "windows": lambda rows: rows.replace("\n", "\r\n\r\n"),
}


@pytest.mark.parametrize("kind", BLANK)
@pytest.mark.parametrize("size", [40, 1 << 20])
def test_blank_lines_are_no_rows_however_a_file_is_read(tmp_path, kind, size, monkeypatch):
    monkeypatch.setattr(delimited, "PIECE", size)
    monkeypatch.setattr("mlp_jax.data.streams.frames._TEXT_BYTES", size)
    end = "\r\n" if kind == "windows" else "\n"
    path = written(tmp_path, f"a,b,y{end}" + BLANK[kind](ROWS))
    clean = read_table(written(tmp_path, "a,b,y\n" + ROWS, "clean.csv")).frame
    assert read_table(path).frame.equals(clean)
    frames = open_frames(path)
    blocks = [frames.read(k, list(frames.schema)) for k in range(len(frames.starts) - 1)]
    assert pl.concat(blocks).select(pl.all().cast(pl.String)).equals(clean.cast(pl.String))
    encoding = prepare(load(str(path)), test=0.2, validation=0.1, seed=0).inputs
    assert sum(len(batch.rows) for batch in batches(path, encoding)) == 60


def test_a_blank_line_inside_quotes_is_part_of_a_value(tmp_path):
    path = written(tmp_path, 'a,y\n"one\n\ntwo",p\n\n"x",q\n')
    assert read_table(path).frame["a"].to_list() == ["one\n\ntwo", "x"]


def test_errors_name_the_line_of_the_file_past_blank_lines(tmp_path):
    path = written(tmp_path, "sep=,\na,y\n\n1,p\n\n\n2\n")
    with pytest.raises(DataFileError, match=r"Line 7 of .* has 1 field, but the header has 2"):
        read_table(path)


def test_a_blank_line_below_the_header_alone_is_no_rows(tmp_path):
    with pytest.raises(InputError, match=r"has no rows below its header\.$"):
        read_table(written(tmp_path, "a,b,y\n\n"))


@pytest.mark.parametrize("late", [0, 3000])
def test_leading_zeros_stay_in_labels_and_in_features(tmp_path, late, monkeypatch):
    monkeypatch.setattr(delimited, "PIECE", 4000)
    labels, codes = (
        ["7"] * late + ["007", "042", "7"] * 20,
        ["2139"] * late + ["02139", "10115"] * 30,
    )
    rows = "".join(f"{c},{y}\n" for c, y in zip(codes, labels, strict=True))
    path = written(tmp_path, "zip,y\n" + rows)
    frame = read_table(path).frame
    assert frame.schema == {"zip": pl.String, "y": pl.String}
    encoding, _ = fit_target(frame, ["y"], written=True)
    assert set(encoding.classes) == {"007", "042", "7"}
    assert encoding.label_type == "text"
    frame.write_parquet(tmp_path / "t.parquet")
    assert read_table(tmp_path / "t.parquet").frame.equals(frame)
    streamed = open_frames(path)
    assert dict(streamed.schema) == dict(frame.schema)
    parts = prepare(load(str(path)), test=0.2, validation=0.1, seed=0)
    assert [c.name for c in parts.inputs.categorical] == ["zip"]
    assert any("begins with a zero" in note for note in parts.notes)


def test_decimals_and_times_with_a_zero_in_front_are_no_codes(tmp_path):
    path = written(tmp_path, "a,b,y\n0.5,-0.25,p\n0,00.5,q\n")
    assert [kind.is_numeric() for kind in read_table(path).frame.dtypes] == [True, True, False]


def test_a_file_with_decimal_commas_reads_its_other_columns_that_way(tmp_path):
    rows = "".join(f"{k}.{k:03d};{k},5;{'pq'[k % 2]}\n" for k in range(1, 60))
    table = read_table(written(tmp_path, "people;rate;y\n" + rows))
    parts = prepare(table, test=0.2, validation=0.1, seed=0)
    people = next(c for c in parts.inputs.numeric if c.name == "people")
    assert (people.form.decimal, people.form.thousands) == (",", ".")
    assert people.center > 1000


@pytest.mark.parametrize("stream", [False, True])
def test_numbers_to_predict_are_read_in_their_form(tmp_path, stream):
    values = np.arange(60) * 41.5 + 900
    text = "a;y\n" + "".join(
        f"{k};{v:,.2f}\n".replace(",", "_").replace(".", ",").replace("_", ".")
        for k, v in enumerate(values)
    )
    path = written(tmp_path, text.replace("\n0;", "\n99;", 1))
    if stream:
        target = fit_table(open_frames(path), ["y"])[1]
    else:
        target, _ = fit_target(read_table(path).frame, ["y"])
    assert target.task == "regression"
    np.testing.assert_allclose((target.offset[0], target.scale[0]), (values.mean(), values.std()))


@pytest.mark.parametrize(
    ("words", "kind", "values"),
    [
        (["0", "1"], "integer", [0, 1]),
        (["True", "False"], "boolean", [False, True]),
        (["0.5", "1.5"], "number", [0.5, 1.5]),
        (["a", "b"], "text", ["a", "b"]),
        (["01", "02"], "text", ["01", "02"]),
        (["1.0", "2.0"], "number", [1.0, 2.0]),
        (["9223372036854775806", "9223372036854775807"], "integer", [2**63 - 2, 2**63 - 1]),
        (["9223372036854775807", "9223372036854775808"], "text", [str(2**63 - 1), str(2**63)]),
        (["1" * 44 + "1", "1" * 44 + "2"], "text", ["1" * 44 + "1", "1" * 44 + "2"]),
        (["0.5", "1" * 20], "text", ["0.5", "1" * 20]),
    ],
)
def test_labels_of_a_text_file_have_the_type_of_their_words(words, kind, values):
    frame = pl.DataFrame({"y": [*words * 5, None]})
    encoding, _ = fit_target(frame, ["y"], task="classification", written=True)
    assert encoding.label_type == kind
    assert encoding.label_values().tolist() == values
    assert fit_target(frame, ["y"], task="classification")[0].label_type == "text"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("late", [0, 400])
@pytest.mark.parametrize(
    ("labels", "kind", "classes"),
    [
        (["1.0", "2.0"], "number", ("1", "2")),  # a number has no spelling
        (["1" * 45, "1" * 44 + "2"], "text", ("1" * 45, "1" * 44 + "2")),
        (["1" * 20, "1" * 19 + "2"], "text", ("1" * 20, "1" * 19 + "2")),
        (["9007199254740993", "9007199254740992"], "integer", (str(2**53), str(2**53 + 1))),
    ],
)
def test_labels_of_many_digits_are_told_apart_as_they_are_written(
    tmp_path, monkeypatch, labels, kind, classes, late, stream
):
    monkeypatch.setattr(delimited, "PIECE", 500)
    monkeypatch.setattr(frames, "_TEXT_BYTES", 500)
    rows = [labels[0]] * late + labels * 20
    text = "a,y\n" + "".join(f"{k / 8},{label}\n" for k, label in enumerate(rows))
    path = written(tmp_path, text)
    if stream:
        target = fit_table(open_frames(path), ["y"], task="classification")[1]
    else:
        table = read_table(path)
        target, _ = fit_target(table.frame, ["y"], task="classification", written=True)
    assert (target.classes, target.label_type) == (classes, kind)


def test_whole_numbers_of_many_digits_among_floats_stay_what_they_are(tmp_path):
    rows = ["1e5"] * 30 + ["12345678901234567890123", "12345678901234567890124"] * 30
    path = written(tmp_path, "y,a\n" + "".join(f"{word},{k}\n" for k, word in enumerate(rows)))
    assert set(read_table(path).frame["y"]) == set(rows)


def test_spaces_around_labels_are_left_out_and_case_is_announced():
    frame = pl.DataFrame({"y": ["Yes ", "yes", "Yes", " no"] * 5})
    encoding, notes = fit_target(frame, ["y"])
    assert encoding.classes == ("Yes", "no", "yes")
    assert "'Yes', 'yes' differ only in case" in notes[1]


def test_a_column_is_found_by_its_name_without_spaces_and_listed_in_quotes(tmp_path):
    path = written(tmp_path, "a, b, y\n1,2,p\n3,4,q\n")
    assert read_table(path, targets=["y"]).targets == ("y",)
    with pytest.raises(InputError, match=r"its columns: 'a', 'b', 'y'\."):
        read_table(path, targets=["z"])


def test_a_target_found_by_its_name_is_named(tmp_path):
    table = read_table(written(tmp_path, "a,y\n1,p\n3,q\n"))
    assert table.notes == ("Column 'y' is the target, by its name: --target sets another.",)
    assert read_table(tmp_path / "t.csv", targets=["y"]).notes == ()


@pytest.mark.parametrize("stream", [False, True])
def test_whole_numbers_of_a_file_with_decimal_commas_may_have_them_later(tmp_path, stream):
    from mlp_jax.data.streams.fitting import fit_table

    rows = "".join(f"{k % 9};{k},5;{'pq'[k % 2]}\n" for k in range(60))
    path = written(tmp_path, "n;rate;y\n" + rows)
    if stream:
        frames = open_frames(path)
        text = TextOptions(likely=frames.likely)
        inputs = fit_table(frames, ["y"], options=ColumnOptions(text=text))[0]
    else:
        inputs = prepare(read_table(path), test=0.2, validation=0.1, seed=0).inputs
    found = encode(inputs, pl.DataFrame({"n": ["4,5", "4"], "rate": ["1,5", "2,5"]}))
    assert found[0, 0] > found[1, 0]


COLONS = "a:b:y\n" + "".join(f"{k / 8}:{k % 7}:{'pq'[k % 2]}\n" for k in range(60))


@pytest.mark.parametrize("learn", [load, prepare_stream])
def test_the_separator_of_the_training_rows_is_tried_where_the_one_found_does_not_fit(
    tmp_path, learn
):
    path = str(written(tmp_path, COLONS))
    text = TextOptions(separator=":")
    if learn is load:
        parts = prepare(load(path, text=text), test=0.2, validation=0.1, seed=0)
    else:
        parts = prepare_stream(path, StreamSettings(0.2, 0.1, 0, options=ColumnOptions(text=text)))
    assert parts.inputs.separator == ":"
    (batch,) = batches(path, parts.inputs)
    assert batch.rows["b"].to_list() == [k % 7 for k in range(60)]
    table = load_for(parts.inputs, parts.target, path)
    assert table.frame.columns == ["a", "b", "y"]
    commas = written(tmp_path, COLONS.replace(":", ","), "c.csv")
    assert next(batches(commas, parts.inputs)).rows["b"][8] == 1
    other = written(tmp_path, COLONS.replace(":", "^"), "o.csv")
    with pytest.raises(InputError, match=r"none of the columns .* set --separator"):
        next(batches(other, parts.inputs))
    with pytest.raises(InputError, match=r"none of the columns .* set --separator"):
        load_for(parts.inputs, parts.target, str(other))
    assert next(batches(other, parts.inputs, separator="^")).rows["b"][8] == 1
