"""Spaces around names and values of a text file, and the empty columns that Excel leaves behind."""

import polars as pl
import pytest

from mlp_jax.data.encoding import ArrayEncoding
from mlp_jax.data.load import load
from mlp_jax.data.prepare import prepare
from mlp_jax.data.streams import frames
from mlp_jax.data.streams.frames import open_frames
from mlp_jax.data.streams.opening import StreamSettings, prepare_stream
from mlp_jax.data.tables import delimited
from mlp_jax.data.tables.encode import encode
from mlp_jax.data.tables.fit import fit_encoding
from mlp_jax.data.tables.read import read_table
from mlp_jax.errors import InputError
from mlp_jax.model.sources import batches

TOWNS = ["Ulm", "Bonn", "Köln"]
TIDY = "town,size,y\n" + "".join(f"{TOWNS[k % 3]},{k % 7},{'pq'[k % 2]}\n" for k in range(90))


def written(folder, text, name="t.csv"):
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def untidy(text, ending=""):
    """The table with spaces around names and values, and something at the end of every line."""
    lines = [line.replace(",", " ,  ") + " " + ending for line in text.splitlines()]
    return "\n".join(f" {line}" for line in lines) + "\n"


@pytest.fixture(params=[1 << 22, 300], ids=["one piece", "many pieces"])
def _pieces(monkeypatch, request):
    monkeypatch.setattr(delimited, "PIECE", request.param)
    monkeypatch.setattr(frames, "_TEXT_BYTES", request.param)


def in_memory(path):
    return prepare(load(str(path), targets=("y",)), test=0.2, validation=0.1, seed=0)


def streaming(path):
    return prepare_stream(str(path), StreamSettings(0.2, 0.1, 0, targets=("y",)))


@pytest.mark.usefixtures("_pieces")
@pytest.mark.parametrize("ending", ["", ",,"])
@pytest.mark.parametrize("learn", [in_memory, streaming])
def test_spaces_and_empty_columns_change_nothing_that_is_learned(tmp_path, learn, ending):
    tidy = learn(written(tmp_path, TIDY))
    other = learn(written(tmp_path, untidy(TIDY, ending), "u.csv"))
    assert tidy.inputs.categorical[0].categories == ("Bonn", "Köln", "Ulm")
    assert (other.inputs.categorical, other.target) == (tidy.inputs.categorical, tidy.target)
    (size,), (expected,) = other.inputs.numeric, tidy.inputs.numeric
    assert (size.name, size.scale) == ("size", pytest.approx(expected.scale, rel=1e-12))
    said = [note for note in other.notes if "without a name" in note]
    expected = ["2 columns without a name are left out: no row has a value there."]
    assert said == (expected if ending else [])


@pytest.mark.usefixtures("_pieces")
def test_rows_to_predict_may_be_as_untidy(tmp_path):
    learned = in_memory(written(tmp_path, TIDY)).inputs
    path = written(tmp_path, untidy(TIDY, ",,"), "u.csv")
    (batch,) = batches(path, learned, ["town"])
    words = pl.DataFrame({"town": TOWNS * 30, "size": [k % 7 for k in range(90)]})
    assert (encode(learned, batch.rows) == encode(learned, words)).all()
    assert batch.kept["town"][0] == " Ulm "  # as it is written


def test_features_without_names_are_the_columns_that_have_one(tmp_path):
    path = written(tmp_path, "a,b,,\n1,2,,\n3,4,,\n")
    (batch,) = batches(path, ArrayEncoding(2))
    assert batch.rows.to_dict(as_series=False) == {"a": [1.0, 3.0], "b": [2.0, 4.0]}


@pytest.mark.parametrize("stream", [False, True])
def test_one_column_without_a_name_may_hold_values(tmp_path, stream):
    path = written(tmp_path, "a,,y,\n1,7,p,\n3,8,q, \n")
    frame = open_frames(path).read(0, ["a", "", "y"]) if stream else read_table(path).frame
    assert frame.to_dict(as_series=False) == {"a": [1, 3], "": [7, 8], "y": ["p", "q"]}


@pytest.mark.parametrize("read", [read_table, open_frames])
def test_two_columns_without_a_name_that_hold_values_are_refused(tmp_path, read):
    path = written(tmp_path, "a,,y,,\n1,7,p,,\n3,8,q,,5\n")
    with pytest.raises(InputError, match="columns 1 and 4 hold values, so name them"):
        read(path)


def test_names_that_differ_in_spaces_alone_are_one_name(tmp_path):
    with pytest.raises(InputError, match="more than one column called 'a'"):
        read_table(written(tmp_path, "a, a,y\n1,2,p\n3,4,q\n"))


def test_categories_of_a_frame_that_differ_in_case_or_spaces_alone_are_told():
    frame = pl.DataFrame({"town": ["Ulm", " Ulm", "Bonn", "ulm ", "Köln"] * 9})
    encoding, notes = fit_encoding(frame)
    assert len(encoding.categorical[0].categories) == 5
    assert notes == (
        "Column 'town': ' Ulm', 'Ulm', 'ulm ' differ only in case or spaces around them, and are"
        " different categories.",
    )
    assert fit_encoding(pl.DataFrame({"town": TOWNS * 9}))[1] == ()


def test_words_that_come_again_and_again_are_trimmed_as_others_are(tmp_path):
    rows = "".join(f"{' ' * (k % 2)}{TOWNS[k % 3]},{'pq'[k % 2]}\n" for k in range(3000))
    frame = read_table(written(tmp_path, "town,y\n" + rows)).frame
    assert isinstance(frame.schema["town"], pl.Categorical)
    assert frame["town"].cast(pl.String).to_list() == TOWNS * 1000


def test_a_name_with_spaces_of_a_typed_file_is_the_nearest_to_one_without(tmp_path):
    learned = fit_encoding(pl.DataFrame({"c": [1.0, 2.0, 3.0]}))[0]
    frame = pl.DataFrame({" c": [1.0], "d": [2.0]})
    frame.write_parquet(tmp_path / "t.parquet")
    with pytest.raises(InputError, match=r"no column 'c' \(the nearest is ' c'\)"):
        encode(learned, frame)
    with pytest.raises(InputError, match=r"no column 'c', .*Did you mean ' c'\?"):
        next(batches(tmp_path / "t.parquet", learned))
    frame.rename({" c": "x "}).write_csv(tmp_path / "t.csv")
    with pytest.raises(InputError, match=r"\('c'\); its columns are 'x', 'd'"):
        next(batches(tmp_path / "t.csv", learned))
