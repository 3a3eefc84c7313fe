import numpy as np
import pytest

from mlp_jax.errors import InputError
from mlp_jax.training.sweep.ranges import Range, parse_shapes


def test_a_logarithmic_range_draws_as_many_from_each_decade():
    drawn = np.array(Range.parse("x", "1e-4:1e-1:log").draw(np.random.default_rng(0), 3000))
    assert drawn.min() >= 1e-4
    assert drawn.max() <= 1e-1
    decades, _ = np.histogram(np.log10(drawn), [-4, -3, -2, -1])
    assert decades == pytest.approx([1000, 1000, 1000], rel=0.1)


def test_an_even_range_a_list_and_a_number():
    rng = np.random.default_rng(0)
    assert np.mean(Range.parse("x", "0:0.1").draw(rng, 3000)) == pytest.approx(0.05, rel=0.05)
    assert set(Range.parse("x", "0,0.1,0.5").draw(rng, 50)) == {0.0, 0.1, 0.5}
    assert Range.parse("x", "0.3").draw(rng, 2) == [0.3, 0.3]
    assert Range.parse("x", "0.3").fixed
    assert not Range.parse("x", "0:1").fixed


@pytest.mark.parametrize("text", ["", "a", "1:2:lin", "1:2:log:3", "1:", "1,b"])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(
        InputError, match="must be LOW:HIGH, LOW:HIGH:log, a list A,B,C or a number"
    ):
        Range.parse("--dropout", text)


@pytest.mark.parametrize(
    ("text", "said"), [("2:1", "low end below"), ("0:1:log", "start above 0"), ("1:inf", "low end")]
)
def test_ends_that_no_range_has_are_refused(text, said):
    with pytest.raises(InputError, match=said):
        Range.parse("--dropout", text)


@pytest.mark.parametrize(
    ("words", "shapes"),
    [
        (["64", "64"], [(64, 64)]),
        (["64,64", "128,128"], [(64, 64), (128, 128)]),
        (["64,", "32,32", "64,"], [(64,), (32, 32)]),
        ([], [()]),
    ],
)
def test_shapes_are_told_from_widths_by_their_commas(words, shapes):
    assert parse_shapes(words) == shapes


@pytest.mark.parametrize("words", [["a"], ["0", "3"], ["3.5"]])
def test_what_is_no_width_is_refused(words):
    with pytest.raises(InputError, match=r"[Ww]idth"):
        parse_shapes(words)
