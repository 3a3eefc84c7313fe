"""Files that can be read come out whole; files that cannot say where they are wrong."""

import gzip
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from table_cases import people

from mlp_jax.data.prepare import prepare
from mlp_jax.data.tables import delimited
from mlp_jax.data.tables.fit import fit_encoding
from mlp_jax.data.tables.read import read_table
from mlp_jax.errors import DataFileError, InputError, UnknownNameError


@pytest.fixture(params=[1 << 22, 64], ids=["one piece", "many pieces"])
def pieces(request, monkeypatch):
    monkeypatch.setattr(delimited, "PIECE", request.param)


def written(folder, content, name="t.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_csv_tsv_gzip_and_parquet_hold_the_same_arrays(tmp_path, pieces):
    frame = people()
    frame.write_csv(tmp_path / "a.csv")
    frame.write_csv(tmp_path / "a.tsv", separator="\t")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    frame.write_parquet(tmp_path / "a.parquet")
    found = []
    for suffix in ("csv", "tsv", "csv.gz", "parquet"):
        table = read_table(tmp_path / f"a.{suffix}", targets=["income"])
        assert (table.name, table.targets) == ("a", ("income",))
        found.append(prepare(table, test=0.2, validation=0.2, seed=1))
    for other in found[1:]:
        assert replace(other.inputs, separator=",") == found[0].inputs
        for part in ("train", "validation", "test"):
            ours, first = getattr(other, part), getattr(found[0], part)
            np.testing.assert_array_equal(ours.x, first.x)
            np.testing.assert_array_equal(ours.y, first.y)


def test_quotes_separators_and_newlines_inside_fields_are_pandas(tmp_path, pieces):
    text = 'a,b,y\n1,"x,y",2\n2,"p\nq",3\n3,"say ""hi""",4\n4,,5\n' * 1
    path = written(tmp_path, text + "5,plain,6\n" * 40)
    frame, peer = read_table(path).frame, pd.read_csv(path)
    assert frame["a"].to_list() == peer["a"].to_list()
    assert frame["b"].to_list() == peer["b"].replace({np.nan: None}).to_list()


def test_a_quoted_name_may_have_a_line_end_in_it(tmp_path, pieces, monkeypatch):
    frame = read_table(written(tmp_path, 'y,"size\n(m)",b\n1,2,3\n4,5,6\n')).frame
    assert frame.to_dict(as_series=False) == {"y": [1, 4], "size\n(m)": [2, 5], "b": [3, 6]}
    inches = read_table(written(tmp_path, '5",y\n1,2\n')).frame
    assert inches.to_dict(as_series=False) == {'5"': [1], "y": [2]}
    with pytest.raises(DataFileError, match=r"Line 4 of .* has 2 fields, but the header has 3"):
        read_table(written(tmp_path, 'y,"size\n(m)",b\n1,2,3\n4,5\n'))


def test_windows_line_ends_and_a_byte_order_mark_are_left_out(tmp_path):
    frame = read_table(written(tmp_path, b"\xef\xbb\xbfy,b\r\n1,x\r\n2,\r\n")).frame
    assert frame.to_dict(as_series=False) == {"y": [1, 2], "b": ["x", None]}


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_another_separator_is_found(tmp_path, mark):
    path = written(tmp_path, f"a{mark}y\n1{mark}2\n")
    assert read_table(path).frame.rows() == [(1, 2)]


def test_a_number_that_comes_late_widens_its_column(tmp_path, pieces):
    text = "a,b,c,d,y\n" + "1,1.50,,7,0\n" * 1500 + "2.5,word,3.5,99999999999999999999999,1\n"
    frame = read_table(written(tmp_path, text)).frame
    assert frame["a"][[0, -1]].to_list() == [1.0, 2.5]
    assert frame["b"].cast(pl.String)[[0, -1]].to_list() == ["1.50", "word"]
    assert frame["c"].cast(pl.String).cast(pl.Float64)[[0, -1]].to_list() == [None, 3.5]
    assert frame["d"].cast(pl.Int128)[[0, -1]].to_list() == [7, 99999999999999999999999]


@pytest.mark.parametrize("before", [0, 1500])
def test_whole_numbers_beyond_every_integer_stay_written_and_are_numbers_as_features(
    tmp_path, pieces, before
):
    text = "a,y\n" + "1,0\n" * before + f"{10**60},1\n2,0\n"
    frame = read_table(written(tmp_path, text)).frame
    assert frame["a"][-2:].to_list() == [str(10**60), "2"]
    (column,) = fit_encoding(frame, targets=["y"])[0].numeric
    assert column.center == pytest.approx((1e60 + 2 + before) / (before + 2))


def test_categories_keep_the_digits_that_are_written(tmp_path):
    path = written(tmp_path, "zip,y\n01234,1\n99999,2\n")
    frame = read_table(path, kinds={"zip": "categorical"}).frame
    assert frame["zip"].to_list() == ["01234", "99999"]


def test_large_whole_numbers_are_exact(tmp_path):
    values = [2**53 + 1, 2**24 + 1, -(2**60)]
    path = written(tmp_path, "a,y\n" + "".join(f"{v},0\n" for v in values))
    assert read_table(path).frame["a"].to_list() == values


RAGGED = [
    ("a,b,y\n1,2,3\n4,5\n6,7,8\n", "Line 3 of 't.csv' has 2 fields, but the header has 3."),
    ("a,b,y\n1,2,3\n4,5,6,7\n6,7,8\n", "Line 3 of 't.csv' has 4 fields, but the header has 3."),
    ('a,b,y\n1,"p\nq",3\n4,"5,5"\n', "Line 4 of 't.csv' has 2 fields, but the header has 3."),
    ('a,b,y\n1,"p,q",\n4,"5,5",6\n7\n', "Line 4 of 't.csv' has 1 field, but the header has 3."),
    (
        "a,b,y\n" + "1,2,\n" * 99 + "1,2\n",
        "Line 101 of 't.csv' has 2 fields, but the header has 3.",
    ),
    ("a,b,y\n" + "1,2,3\n" * 99 + "1,2,3,4\n", "Line 101 of 't.csv' has 4 fields, but"),
]


@pytest.mark.parametrize(("text", "said"), RAGGED)
def test_rows_of_another_length_are_named_by_line(tmp_path, pieces, monkeypatch, text, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataFileError) as caught:
        read_table(written(tmp_path, text).relative_to(tmp_path))
    assert said in str(caught.value)


def test_missing_last_values_and_blank_lines_are_not_ragged(tmp_path, pieces):
    frame = read_table(written(tmp_path, "y,b\n1,\n\n2,3\n" + "4,\n" * 50)).frame
    assert (frame.height, frame["b"].null_count()) == (52, 51)
    single = read_table(written(tmp_path, "y\n1\n\n2\n")).frame
    assert single["y"].to_list() == [1, None, 2]


BROKEN = [
    (b"", "'t.csv' is empty."),
    (b"\n", "'t.csv' is empty."),
    (b"a,y\n", "'t.csv' has no rows below its header."),
    (b"a,y", "'t.csv' has no rows below its header."),
    (b"a,y\n1,2\n3,caf\xe9\n", "is not UTF-8: line 3 has the byte 0xe9; save it as UTF-8."),
    (b"a,y\xe9\n1,2\n", "is not UTF-8: line 1 has the byte 0xe9"),
    ("a,y\n1,2\n".encode("utf-16"), "it looks like UTF-16"),
    (b"y,y\n1,2\n", "'t.csv' has more than one column called 'y'."),
    (b"a,y\r1,2\r3,4\r", "The first line of 't.csv' is not a valid row"),
    (b"a," + b"b" * 200_000 + b",y\n1,2,3\n", "field larger than field limit"),
    (b'a,y\n1,"x\n' + b"2,3\n" * 50_000, "perhaps because of a quote that is not closed"),
    (b'a,y\n1,"x\n2,3\n', "perhaps because of a quote that is not closed"),
]


@pytest.mark.parametrize(("content", "said"), BROKEN)
def test_broken_files_say_where(tmp_path, monkeypatch, content, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((DataFileError, InputError)) as caught:
        read_table(written(tmp_path, content).relative_to(tmp_path))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_of_no_known_kind(tmp_path):
    with pytest.raises(DataFileError, match="There is no file"):
        read_table(tmp_path / "t.csv")
    with pytest.raises(UnknownNameError, match=r"kind of table file 't\.xlsx'"):
        read_table(written(tmp_path, "", "t.xlsx"))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataFileError, match="is a folder"):
        read_table(tmp_path / "folder.csv")


def test_a_gzip_file_cut_short_is_said_to_be(tmp_path):
    whole = gzip.compress(b"a,y\n" + b"1,2\n" * 1000)
    with pytest.raises(DataFileError, match="damaged or truncated gzip file"):
        read_table(written(tmp_path, whole[: len(whole) // 2], "t.csv.gz"))
    with pytest.raises(DataFileError, match="damaged or truncated gzip file"):
        read_table(written(tmp_path, b"a,y\n1,2\n", "t.csv.gz"))


@pytest.mark.parametrize("part", [0, 3, 0.5, 0.99])
def test_a_parquet_file_cut_short_is_said_to_be(tmp_path, part):
    people().write_parquet(tmp_path / "whole.parquet")
    content = (tmp_path / "whole.parquet").read_bytes()
    size = part if isinstance(part, int) else int(part * len(content))
    with pytest.raises(DataFileError, match=r"truncated Parquet|is empty|not a Parquet"):
        read_table(written(tmp_path, content[:size], "t.parquet"))


def test_a_parquet_file_damaged_inside_is_said_to_be(tmp_path):
    people().write_parquet(tmp_path / "t.parquet")
    content = bytearray((tmp_path / "t.parquet").read_bytes())
    content[-60:-8] = b"\xff" * 52
    with pytest.raises(DataFileError, match="damaged Parquet file"):
        read_table(written(tmp_path, bytes(content), "t.parquet"))


def test_a_npy_file_is_a_table_of_numbered_columns(tmp_path):
    x = np.arange(12.0).reshape(4, 3)
    np.save(tmp_path / "t.npy", x)
    table = read_table(tmp_path / "t.npy", targets=["-1"])
    assert table.targets == ("2",)
    np.testing.assert_array_equal(table.frame.to_numpy(), x)


def test_a_npy_file_of_objects_is_never_unpickled(tmp_path):
    np.save(tmp_path / "t.npy", np.array([[{}]], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="holds objects, which need pickle"):
        read_table(tmp_path / "t.npy", targets=["0"])
    np.save(tmp_path / "u.npy", np.arange(3))
    with pytest.raises(InputError, match=r"numbers \(rows, columns\).*shape \(3,\)"):
        read_table(tmp_path / "u.npy", targets=["0"])
    content = (tmp_path / "u.npy").read_bytes()
    with pytest.raises(DataFileError, match=r"is a damaged \.npy file"):
        read_table(written(tmp_path, content[:-4], "t.npy"), targets=["0"])


def test_targets_go_by_name_or_index(tmp_path):
    path = written(tmp_path, "a,b,c\n1,2,3\n4,5,6\n")
    assert read_table(path, targets=["b"]).targets == ("b",)
    assert read_table(path, targets=["0", "-1"]).targets == ("a", "c")
    bare = written(tmp_path, "1,2\n4,5\n", "u.csv")
    table = read_table(bare, targets=["-2"], header=False)
    assert (table.targets, table.frame.columns, table.frame.height) == (("0",), ["0", "1"], 2)


@pytest.mark.parametrize("name", ["target", "Label", "class", "y"])
def test_the_usual_target_needs_no_naming(tmp_path, name):
    assert read_table(written(tmp_path, f"a,{name},b\n1,2,3\n")).targets == (name,)


@pytest.mark.parametrize(
    ("header", "targets", "said"),
    [
        ("income,age,sex", ["incom"], "no column 'incom' (the nearest is 'income'); its columns: "),
        ("income,age,sex", ["Income"], "no column 'Income' (the nearest is 'income')"),
        ("income,age,sex", ["3"], "no column 3: its 3 columns are 0 to 2, or −3 to −1"),
        ("income,age,sex", ["--1"], "has no column '--1'"),
        ("1,age,0", ["0"], "'0' is ambiguous in"),
        ("income,age,sex", [], "Which column of"),
        (
            "income,y,class",
            [],
            "(y, class are candidates)? Name it with --target; the columns are: 'income'",
        ),
    ],
)
def test_a_wrong_or_ambiguous_target_is_explained(tmp_path, header, targets, said):
    with pytest.raises(InputError, match=re.escape(said)):
        read_table(written(tmp_path, f"{header}\n1,2,3\n"), targets=targets)


def test_columns_can_be_dropped(tmp_path):
    path = written(tmp_path, "a,b,y\n1,2,3\n")
    assert read_table(path, drop=["b"]).frame.columns == ["a", "y"]
    with pytest.raises(InputError, match=r"no column 'B' \(the nearest is 'b'\) to drop"):
        read_table(path, drop=["B"])
    with pytest.raises(InputError, match="is the target, so it cannot be dropped"):
        read_table(path, drop=["y"])
