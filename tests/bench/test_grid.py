"""The points of the grid and their least work."""

import pytest

from mlp_jax.errors import InputError
from trainers.grid import GPU_GRID, GRID, Point, choose_points


def test_the_work_of_an_epoch_is_counted_as_by_hand():
    point = Point((3, 4, 2), 5, 12)
    forward = 2 * 12 * (3 * 4 + 4 * 2)
    assert point.flops == forward + forward + 2 * 12 * (4 * 2)
    assert point.parameters == 3 * 4 + 4 + 4 * 2 + 2
    assert point.steps == 3
    assert point.optimizer_bytes == 3 * 26 * 7 * 4
    seconds = point.floor_seconds(product_rate=point.flops, copy_rate=point.optimizer_bytes / 2)
    assert seconds == 3


def test_points_are_chosen_by_name_and_the_large_ones_come_with_a_gpu():
    assert choose_points((), gpu=False) == GRID
    assert choose_points((), gpu=True) == (*GRID, *GPU_GRID)
    assert [p.widths for p in choose_points(("64-64-10@32",), gpu=False)] == [(64, 64, 10)]
    with pytest.raises(InputError, match=r"Unknown point '64-64-10@33'.*Did you mean"):
        choose_points(("64-64-10@33",), gpu=False)


def test_the_quick_grid_has_the_same_batches_and_an_epoch_of_bounded_work():
    for point in GRID:
        quick = point.quick()
        assert (quick.widths, quick.batch) == (point.widths, point.batch)
        assert quick.flops <= 5e10
        assert quick.rows == point.rows or quick.rows % quick.batch == 0


def test_a_precision_takes_the_place_of_the_grids_own():
    assert {p.precision for p in choose_points((), gpu=True, precision="tf32")} == {"tf32"}
    with pytest.raises(InputError, match="Unknown precision 'float16'"):
        choose_points((), gpu=False, precision="float16")


@pytest.mark.parametrize("wrong", [((3,), 1, 1), ((3, 0), 1, 1), ((3, 2), 5, 4), ((3, 2), 0, 4)])
def test_a_point_that_cannot_be_is_refused(wrong):
    with pytest.raises(InputError):
        Point(*wrong)
