"""Numbers and dates as people write them, read where a whole column has one form."""

import datetime

import numpy as np
import polars as pl
import pytest

from mlp_jax.data.encoding import MISSING_WORDS
from mlp_jax.data.tables.columns import days, numbers
from mlp_jax.data.tables.encode import encode
from mlp_jax.data.tables.fit import fit_encoding
from mlp_jax.data.tables.options import ColumnOptions, TextOptions
from mlp_jax.data.tables.reading import read_column
from mlp_jax.data.tables.targets import fit_target
from mlp_jax.errors import InputError

VALUES = np.array(
    [2244.97, 12.5, -3.25, 1000000.5, 0.5, 17.0, 999.0, 1234.0, 20.75, 3.5, 8.0, 1.25]
)


def american(v):
    return f"{v:,.2f}"


def german(v):
    return american(v).translate(str.maketrans(",.", ".,"))


FORMS = {
    "american": american,
    "german": german,
    "comma": lambda v: f"{v:.2f}".replace(".", ","),
    "swiss": lambda v: american(v).replace(",", "'"),
    "swiss, curly": lambda v: american(v).replace(",", "\u2019"),
    "french": lambda v: american(v).replace(",", "\u202f").replace(".", ","),
    "spaced": lambda v: american(v).replace(",", " "),
    "dollars": lambda v: f"${v:,.2f}" if v > 0 else f"-${-v:,.2f}",
    "euros": lambda v: f"{german(v)} €",
    "codes": lambda v: f"USD {american(v)}",
    "percent": lambda v: f"{v:.2f}%",
    "percent, comma": lambda v: f"{v:.2f} %".replace(".", ","),
}


def reading(words, **options):
    return read_column(pl.Series("v", words), None, TextOptions(**options))


@pytest.mark.parametrize("form", FORMS)
def test_numbers_of_one_form_are_numbers_with_a_note(form):
    words = [FORMS[form](v) for v in VALUES]
    found = reading(words)
    assert found.kind == "numeric"
    np.testing.assert_allclose(numbers(pl.Series(words), 0, found.form), VALUES, rtol=1e-12)
    assert "Column 'v' holds numbers like" in found.notes[0]


def test_numbers_as_programs_write_them_need_no_note():
    assert reading(["1", "-2.5", "1e-3", ".5", "inf", "+7"]).notes == ()


@pytest.mark.parametrize(
    "words", [["1,234", "2,500"], ["12%", "0.12"], ["$5", "€5"], ["1,2,3", "4,5,6"], ["007", "7"]]
)
def test_what_could_be_read_two_ways_is_said_or_not_read(words):
    found = reading(words * 20)
    if words == ["1,234", "2,500"]:
        assert numbers(pl.Series(words), 0, found.form).tolist() == [1234, 2500]
        assert "--decimal ',' reads them otherwise" in found.notes[0]
        other = reading(words, decimal=",")
        assert numbers(pl.Series(words), 0, other.form).tolist() == [1.234, 2.5]
    else:
        assert found.kind == "categorical"


MOMENTS = [
    datetime.datetime(2023, 9, 25),
    datetime.datetime(1999, 1, 2),
    datetime.datetime(2024, 2, 29),
]


@pytest.mark.parametrize(
    "written",
    ["%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%d-%m-%Y", "%d %b %Y", "%B %d, %Y",
     "%d.%m.%y", "%d.%m.%Y %H:%M", "%m/%d/%Y %I:%M %p", "%Y-%m-%d"],
)  # fmt: skip
def test_dates_of_one_form_are_dates(written):
    moments = [m.replace(hour=13, minute=30) if "M" in written[8:] else m for m in MOMENTS]
    words = [m.strftime(written) for m in moments]
    found = reading(words)
    assert found.kind == "date"
    expected = [(m - datetime.datetime(1970, 1, 1)) / datetime.timedelta(days=1) for m in moments]
    np.testing.assert_allclose(days(pl.Series(words), 0, found.form), expected, atol=1e-9)


def test_dates_that_could_be_day_or_month_first_say_what_they_were_read_as():
    found = reading(["01/02/2023", "03/04/2023"])
    assert "read as %m/%d/%Y (--date-format '%d/%m/%Y' reads them otherwise)" in found.notes[0]
    assert reading(["01/02/2023"], date_format="%d/%m/%Y").form.date == "%d/%m/%Y"
    assert reading(["25/02/2023", "03/04/2023"]).form.date == "%d/%m/%Y"
    assert "otherwise" not in reading(["02/25/2023", "03/04/2023"]).notes[0]


def test_a_few_stray_words_count_as_missing_with_a_note():
    words = [f"{k / 4}" for k in range(400)] + ["see notes", "tbd"]
    encoding, notes = fit_encoding(pl.DataFrame({"v": words}))
    (column,) = encoding.numeric
    assert column.indicator
    assert set(column.form.missing) == {"see notes", "tbd"}
    assert "'see notes', 'tbd' in 2 rows counts as missing" in "".join(notes)
    x = encode(encoding, pl.DataFrame({"v": ["TBD", "1.5", "NA", None]}))
    assert x[:, 1].tolist() == [1, 0, 1, 1]
    with pytest.raises(InputError, match="'v' has 'else' in row 0, which is not a number"):
        encode(encoding, pl.DataFrame({"v": ["else"]}))


def test_words_of_held_out_rows_alone_count_as_missing_too():
    words = [f"{k / 4}" for k in range(400)] + ["tbd"]
    training = np.arange(401) < 300
    encoding, _ = fit_encoding(pl.DataFrame({"v": words}), rows=training)
    assert not encoding.numeric[0].indicator
    assert np.isfinite(encode(encoding, pl.DataFrame({"v": words}))).all()


@pytest.mark.parametrize("word", ["missing", "unknown", "-", "None", "NA", "?", "n/a", "NULL"])
def test_one_list_of_words_is_missing_in_numbers_and_in_text(word):
    frame = pl.DataFrame({"number": ["1", "2.5", word] * 30, "text": ["a", "b", word] * 30})
    encoding, notes = fit_encoding(frame)
    (number,), (text,) = encoding.numeric, encoding.categorical
    assert number.indicator
    assert text.categories == ("a", "b")
    assert text.missing == 3
    assert f"Counted as missing: '{word}' in 'number' (30 rows); '{word}' in 'text'" in notes[0]


def test_the_list_of_missing_words_can_be_extended():
    options = TextOptions(na_values=("default", "-999"))
    assert options.na_values == (*MISSING_WORDS, "-999")
    frame = pl.DataFrame({"text": ["a", "unknown", "b"] * 30, "number": ["1.5", "2", "-999"] * 30})
    encoding, _ = fit_encoding(frame, options=ColumnOptions(text=options))
    assert encoding.categorical[0].categories == ("a", "b")
    assert encode(encoding, pl.DataFrame({"text": ["n/a"], "number": ["-999"]}))[0, 1] == 1


def test_the_list_of_missing_words_can_be_replaced():
    options = ColumnOptions(text=TextOptions(na_values=("x", "-999")))
    frame = pl.DataFrame({"text": ["a", "unknown", "X"] * 30, "number": ["1.5", "2", "-999"] * 30})
    encoding, _ = fit_encoding(frame, options=options)
    assert encoding.categorical[0].categories == ("a", "unknown")
    assert encoding.na_values == ("x", "-999")
    assert encode(encoding, pl.DataFrame({"text": ["x"], "number": ["-999"]}))[0, 1] == 1


def test_infinite_numbers_among_the_training_rows_are_announced():
    _, notes = fit_encoding(pl.DataFrame({"v": [1.0, np.inf, 2.0, -np.inf, 3.0]}))
    assert notes == ("Column 'v': 2 numbers are infinite and count as missing.",)


@pytest.mark.parametrize("scaling", ["standard", "robust", "quantile"])
def test_a_number_far_outside_is_a_finite_feature_beyond_all_of_training(scaling):
    v = np.random.default_rng(0).normal(size=200)
    encoding, _ = fit_encoding(pl.DataFrame({"v": v}), options=ColumnOptions(scaling=scaling))
    far = [1e30, 1e160, 1e300, 1.7e308]
    found = encode(encoding, pl.DataFrame({"v": far}))[:, 0]
    inside = encode(encoding, pl.DataFrame({"v": v}))[:, 0]
    assert np.isfinite(found).all()
    assert (found >= inside.max()).all()
    np.testing.assert_array_equal(found, found[0])
    np.testing.assert_array_equal(encode(encoding, pl.DataFrame({"v": ["1" * 45]}))[:, 0], found[0])


@pytest.mark.parametrize(
    "words",
    [
        [f"{k},5" if k % 2 else f"{k}.5" for k in range(40)],
        [f"{k}.09.2023" if k % 2 else f"2023-09-{k}" for k in range(10, 30)],
        [f"{k}-{k + 5}" for k in range(40)],
    ],
    ids=["two decimals", "two kinds of dates", "ranges"],
)
def test_numbers_and_dates_in_no_one_form_say_so(words):
    _, notes = fit_encoding(pl.DataFrame({"v": words, "w": np.arange(len(words)) / 7}))
    assert "numbers or dates without a common known format" in notes[0]
    assert not any("identifier" in note for note in notes)


def test_numbers_that_stand_for_missing_ones_are_missing_among_numbers_and_in_targets():
    options = TextOptions(na_values=("-999", "9"))
    frame = pl.DataFrame(
        {"v": [1.5, -999.0, 2.5] * 10, "k": [1, 9, -999] * 10, "y": [0, 1, 9] * 10}
    )
    encoding, notes = fit_encoding(frame, targets=["y"], options=ColumnOptions(text=options))
    assert [column.indicator for column in encoding.numeric[:1]] == [True]
    assert encoding.numeric[0].center == 2.0
    assert "'-999.0' in 'v' (10 rows)" in notes[0]
    assert encode(encoding, pl.DataFrame({"v": [-999, 2], "k": [1, 1]}))[:, 1].tolist() == [1, 0]
    target, _ = fit_target(frame, ["y"], options=options)
    assert target.classes == ("0", "1")


def test_dates_that_do_not_exist_are_stray_words():
    words = [f"2023-0{k % 9 + 1}-{k % 28 + 1:02d}" for k in range(200)]
    found = reading([*words, "0000-00-00", "2023-02-30", "2023-01-05T25:61"])
    assert found.kind == "date"
    assert set(found.form.missing) == {"0000-00-00", "2023-02-30", "2023-01-05t25:61"}


def test_errors_name_the_row_of_the_table_not_of_the_training_rows():
    words = [str(k) for k in range(60)] + ["x"] * 40
    training = np.arange(100) % 3 > 0
    with pytest.raises(InputError, match="'v' has 'x' in row 61"):
        fit_encoding(pl.DataFrame({"v": words}), kinds={"v": "numeric"}, rows=training)
