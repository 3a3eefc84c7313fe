import pytest

from mlp_jax.data.bounds import as_size, inflation_bound


@pytest.mark.parametrize(
    ("n", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (4542, "5 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (11_594_722, "11.6 MB"),
        (561_753_746, "562 MB"),
        (2_816_407_858, "2.8 GB"),
        (1 << 40, "1,100 GB"),
    ],
)
def test_a_size_is_told_in_at_most_three_digits_of_its_unit(n, text):
    assert as_size(n) == text


def test_a_small_file_may_become_a_gibibyte_and_a_large_one_a_hundred_times_as_much():
    assert inflation_bound(1) == 1 << 30
    assert inflation_bound(1 << 30) == 100 << 30
