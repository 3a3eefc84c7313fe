import numpy as np
import polars as pl

from mlp_jax.data.encoding import ArrayEncoding
from mlp_jax.data.prepare import prepare
from mlp_jax.data.table import Table
from mlp_jax.reports.inputs import array_inputs, frame_of_test_rows, table_inputs


def test_rows_of_a_table_are_shown_as_they_came():
    frame = pl.DataFrame({"age": [1.5, None, 2.0], "town": ["Rome", "<b>", None], "y": [0, 1, 0]})
    assert table_inputs(frame, ("y",), np.array([1, 0])) == [
        {"age": "missing", "town": "<b>"}, {"age": "1.5", "town": "Rome"},
    ]  # fmt: skip


def test_the_test_rows_of_a_table_are_found_again():
    n = 60
    frame = pl.DataFrame({"number": np.arange(n) / 8, "y": ["a", "b"] * (n // 2)})
    table = Table("t", frame, ("y",))
    parts = prepare(table, test=0.2, validation=0.2, seed=3)
    rows = frame_of_test_rows(table, parts)
    assert len(rows) == len(parts.test) == 12
    column = parts.inputs.numeric[0]
    encoded = (rows["number"].to_numpy() - column.center) * column.scale
    assert np.allclose(encoded, parts.test.x[:, 0], atol=1e-6)


def test_a_tables_own_test_rows_leave_out_those_without_a_label():
    train = pl.DataFrame({"number": np.arange(40.0), "y": ["a", "b"] * 20})
    own = pl.DataFrame({"number": [1.0, 2.0, 3.0], "y": ["a", None, "b"]})
    table = Table("t", train, ("y",), own)
    parts = prepare(table, test=0.2, validation=0.2, seed=3)
    assert frame_of_test_rows(table, parts)["number"].to_list() == [1.0, 3.0]
    assert len(parts.test) == 2


def test_pixels_are_drawn_from_black_to_white():
    x = np.array([[0, 4, 8, 16], [16, 0, 0, 0]], np.uint8)
    first, second = array_inputs(x, ArrayEncoding(4, image_shape=(2, 2)), np.array([0, 1]))
    assert first.tolist() == [[0, 64], [128, 255]]
    assert second.tolist() == [[255, 0], [0, 0]]
    (colors,) = array_inputs(
        np.zeros((1, 12)), ArrayEncoding(12, image_shape=(2, 2, 3)), np.array([0])
    )
    assert colors.shape == (2, 2, 3)
    (values,) = array_inputs(np.array([[1.25, 2.0]]), ArrayEncoding(2), np.array([0]))
    assert values == {"feature 0": "1.25", "feature 1": "2"}
