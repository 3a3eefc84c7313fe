"""A file of any size and column order goes through batch by batch, whole or not at all."""

import gzip
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from model_cases import colour_model, multilabel_model, pixel_model, regression_model
from people_cases import people, people_model, wage_model

from mlp_jax.errors import DataFileError, DataWarning, InputError, RunFolderError
from mlp_jax.model import sources
from mlp_jax.model.stream import predict_file

pytestmark = pytest.mark.filterwarnings("ignore:Column 'town'. 2 rows have a category")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def model():
    return people_model()


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr(sources, "BATCH", 64)
    monkeypatch.setattr(sources, "PIECE", 4096)


def written(model, source, output="out.csv", **options):
    n = predict_file(model, Path(source), Path(output), **options)
    frame = pl.read_parquet(output) if output.endswith("parquet") else pl.read_csv(output)
    assert len(frame) == n
    return frame


@pytest.mark.usefixtures("small_batches")
def test_rows_come_out_in_their_order_across_batches(model):
    people().write_csv("in.csv")
    found = written(model, "in.csv", keep=["id"], probabilities=True)
    assert found.columns == ["id", "prediction", "probability_old", "probability_young"]
    assert found["id"].to_list() == people()["id"].to_list()
    assert found["prediction"].to_list() == model.predict(people()).tolist()
    np.testing.assert_allclose(
        found.select("^probability.*$").to_numpy(), model.predict_proba(people()), atol=1e-6
    )


def test_shuffled_columns_and_others_besides_change_nothing(model):
    people().write_csv("in.csv")
    shuffled = people().select(reversed(people().columns)).with_columns(more=pl.lit("?"))
    shuffled.write_csv("shuffled.csv")
    first, second = written(model, "in.csv"), written(model, "shuffled.csv", "other.csv")
    assert Path("out.csv").read_bytes() == Path("other.csv").read_bytes()
    assert first.equals(second)


def test_every_kind_of_file_gives_the_same(model):
    table = people().drop("id")
    table.write_csv("in.csv")
    table.write_csv("in.tsv", separator="\t")
    table.write_parquet("in.parquet")
    Path("in.csv.gz").write_bytes(gzip.compress(Path("in.csv").read_bytes()))
    expected = model.predict(people()).tolist()
    for name in ("in.csv", "in.tsv", "in.parquet", "in.csv.gz"):
        assert written(model, name, overwrite=True)["prediction"].to_list() == expected
        assert model.predict(name).tolist() == expected


def test_the_output_is_of_the_kind_that_its_name_says(model):
    people().write_csv("in.csv")
    as_text = written(model, "in.csv", "out.csv", keep=["id"])
    assert written(model, "in.csv", "out.parquet", keep=["id"]).equals(as_text)
    predict_file(model, Path("in.csv"), Path("out.tsv"), keep=["id"])
    assert pl.read_csv("out.tsv", separator="\t").equals(as_text)


def test_what_is_read_back_is_bit_for_bit_what_predict_gives(model):
    people().write_csv("in.csv")
    predict_file(wage_model(), Path("in.csv"), Path("out.csv"))
    found = pl.read_csv("out.csv", schema={"prediction": pl.Float64})
    np.testing.assert_array_equal(
        found["prediction"].to_numpy(), wage_model().predict(people().drop("wage", "answer"))
    )


@pytest.mark.usefixtures("small_batches")
def test_categories_that_training_did_not_have_are_counted_over_the_whole_file(model):
    towns = people()["town"].to_list()
    for row in (0, 100, 200, 399):
        towns[row] = "Rome"
    people().with_columns(town=pl.Series(towns)).write_csv("in.csv")
    strange = sum(town not in ("Ulm", "Bonn", "Köln", 'a, "b"', None) for town in towns)
    with pytest.warns(
        DataWarning, match=f"'town': {strange} rows .*, such as 'Rome'; such categories share one"
    ):
        written(model, "in.csv")


@pytest.mark.usefixtures("small_batches")
def test_words_for_missing_numbers_and_spaces_are_understood(model):
    table = people().drop("id").with_columns(pl.col("age").cast(pl.Int64).cast(pl.String))
    table.write_csv("clean.csv")
    ages = table["age"].to_list()
    ages[3], ages[200], ages[301] = None, f" {ages[200]}", "NA"
    odd = table.with_columns(age=pl.Series(ages))
    odd.write_csv("odd.csv")
    expected = model.predict(table).tolist()
    for row in (3, 301):
        expected[row] = model.predict(table[row].with_columns(age=pl.lit(None)))[0]
    assert written(model, "odd.csv")["prediction"].to_list() == expected


@pytest.mark.usefixtures("small_batches")
def test_a_value_that_is_no_number_is_named_with_its_row_and_nothing_is_left(model):
    table = people().with_columns(pl.col("age").cast(pl.String))
    ages = table["age"].to_list()
    ages[301] = "forty"
    table.with_columns(age=pl.Series(ages)).write_csv("in.csv")
    with pytest.raises(InputError, match="Column 'age' has 'forty' in row 301"):
        predict_file(model, Path("in.csv"), Path("out.csv"))
    assert [p.name for p in Path().iterdir()] == ["in.csv"]
    with pytest.raises(InputError, match="Column 'age' has 'forty' in row 301"):
        predict_file(model, Path("in.csv"), Path("out.parquet"))
    assert [p.name for p in Path().iterdir()] == ["in.csv"]


def test_a_missing_column_is_named_with_the_nearest(model):
    people().rename({"wage": "Wage"}).write_csv("in.csv")
    with pytest.raises(InputError, match=r"'in\.csv' has no column 'wage', which the model needs"):
        predict_file(model, Path("in.csv"), Path("out.csv"))
    assert not Path("out.csv").exists()


def test_the_target_need_not_be_there(model):
    people().drop("answer", "id").write_csv("in.csv")
    assert len(written(model, "in.csv")) == 400


def write_bytes(name, data):
    Path(name).write_bytes(data)
    return name


HEADER = b"age,wage,member,since,town,grade\n"
ROW = b"40,10.5,true,2020-02-29T06:00:00.000000,Ulm,2\n"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (HEADER, "has no rows"),
        (HEADER + ROW + b"1,2,3,4,5,6,7,8\n", "Line 3 of 'in.csv' has 8 fields"),
        (HEADER + ROW + ROW + b"1,2,3\n", "Line 4 of 'in.csv' has 3 fields"),
        (HEADER + ROW.replace(b"Ulm", b"\xff\xfe"), "is not UTF-8: line 2 has the byte 0xff"),
        (HEADER.replace(b"grade", b"age") + ROW, "more than one column called 'age'"),
    ],
)
def test_a_file_that_is_no_table_is_refused(model, data, words):
    write_bytes("in.csv", data)
    with pytest.raises((DataFileError, InputError), match=words):
        predict_file(model, Path("in.csv"), Path("out.csv"))
    assert [p.name for p in Path().iterdir()] == ["in.csv"]


def test_a_gzip_file_that_is_cut_off_is_refused(model):
    people().write_csv("in.csv")
    data = gzip.compress(Path("in.csv").read_bytes())
    Path("in.csv.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataFileError, match="damaged or truncated gzip file"):
        predict_file(model, Path("in.csv.gz"), Path("out.csv"))


def test_a_semicolon_separates_as_in_training(model):
    people().drop("id").write_csv("in.csv", separator=";")
    found = written(model, "in.csv")
    assert found["prediction"].to_list() == model.predict(people()).tolist()


def test_half_a_parquet_file_is_refused(model):
    people().write_parquet("in.parquet")
    data = Path("in.parquet").read_bytes()
    Path("in.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(DataFileError, match="is damaged or not of the format of its name"):
        predict_file(model, Path("in.parquet"), Path("out.csv"))


def test_a_file_that_is_not_there_and_one_of_no_known_kind_are_told_apart(model):
    with pytest.raises(DataFileError, match=r"There is no file 'in\.csv'"):
        predict_file(model, Path("in.csv"), Path("out.csv"))
    write_bytes("in.docx", b"")
    with pytest.raises(InputError, match=r"whose name ends in \.csv, \.tsv"):
        predict_file(model, Path("in.docx"), Path("out.csv"))


def test_an_output_that_is_there_is_kept_unless_asked(model):
    people().write_csv("in.csv")
    Path("out.csv").write_text("mine")
    with pytest.raises(RunFolderError, match="exists already; --overwrite replaces it"):
        predict_file(model, Path("in.csv"), Path("out.csv"))
    assert Path("out.csv").read_text() == "mine"
    assert len(written(model, "in.csv", overwrite=True)) == 400


@pytest.mark.parametrize(
    ("output", "words"),
    [("out.xlsx", "must end in .csv, .tsv or .parquet"), ("no/out.csv", "there is no folder")],
)
def test_an_output_that_cannot_be_is_refused_at_once(model, output, words):
    people().write_csv("in.csv")
    with pytest.raises((InputError, RunFolderError), match=words):
        predict_file(model, Path("in.csv"), Path(output))


@pytest.mark.parametrize(
    ("keep", "words"),
    [
        (["nobody"], "has no column 'nobody' to keep"),
        (["id", "id"], "cannot be kept: it would occur twice in the output"),
        (["prediction"], "cannot be kept: it would occur twice in the output"),
    ],
)
def test_a_column_that_cannot_be_kept_is_refused(model, keep, words):
    people().write_csv("in.csv")
    with pytest.raises(InputError, match=words):
        predict_file(model, Path("in.csv"), Path("out.csv"), keep=keep)


def test_a_feature_can_be_kept_too_as_it_was_written(model):
    Path("in.csv").write_bytes(HEADER + ROW.replace(b"40", b"040"))
    predict_file(model, Path("in.csv"), Path("out.csv"), keep=["age"])
    found = pl.read_csv("out.csv", infer_schema=False)
    assert found["age"].to_list() == ["040"]


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("compressed", [False, True])
def test_arrays_stream_from_npy_and_npz(compressed):
    model = pixel_model()
    x = np.random.default_rng(0).integers(0, 256, (150, 4, 3), np.uint8)
    np.save("in.npy", x)
    (np.savez_compressed if compressed else np.savez)("in.npz", x=x, y=np.zeros(150))
    expected = model.predict(x).tolist()
    for name in ("in.npy", "in.npz"):
        found = written(model, name, overwrite=True)
        assert found["prediction"].cast(str).to_list() == expected


def test_an_array_that_is_cut_off_or_pickled_is_refused():
    model = colour_model()
    np.save("in.npy", np.zeros((9, 4)))
    Path("in.npy").write_bytes(Path("in.npy").read_bytes()[:-8])
    with pytest.raises(DataFileError, match="is truncated"):
        predict_file(model, Path("in.npy"), Path("out.csv"))
    np.save("in.npy", np.array([[{}] * 4], object), allow_pickle=True)
    with pytest.raises(InputError, match="which needs pickle"):
        predict_file(model, Path("in.npy"), Path("out.csv"))
    Path("in.npz").write_bytes(b"PK but no zip")
    with pytest.raises(DataFileError, match="is damaged"):
        predict_file(model, Path("in.npz"), Path("out.csv"))


def test_features_without_names_are_the_columns_in_their_order():
    model = colour_model()
    x = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)
    table = pl.DataFrame(x, schema=["d", "c", "b", "a"])
    table.with_columns(name=pl.lit("n")).write_csv("in.csv")
    assert written(model, "in.csv", keep=["name"])["prediction"].to_list() == (
        model.predict(x).tolist()
    )
    with pytest.raises(InputError, match="has 5 columns of features, but the model takes 4"):
        predict_file(model, Path("in.csv"), Path("other.csv"))


def test_outputs_are_named_after_what_they_predict():
    np.save("in.npy", np.zeros((2, 3)))
    assert written(multilabel_model(), "in.npy", "a.csv", probabilities=True).columns == [
        "prediction_a", "prediction_b", "probability_a", "probability_b",
    ]  # fmt: skip
    assert written(regression_model(2), "in.npy", "b.csv").columns == [
        "prediction_0", "prediction_1",
    ]  # fmt: skip
    with pytest.raises(InputError, match="no probabilities"):
        predict_file(regression_model(), Path("in.npy"), Path("c.csv"), probabilities=True)


def test_without_an_output_the_csv_is_printed(model, capfd):
    people(3).write_csv("in.csv")
    predict_file(model, Path("in.csv"), None, keep=["id"])
    printed = capfd.readouterr().out.splitlines()
    assert printed[0] == "id,prediction"
    assert [line.split(",")[0] for line in printed[1:]] == ["p00000", "p00001", "p00002"]
