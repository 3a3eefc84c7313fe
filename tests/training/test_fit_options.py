"""`FitOptions`: one record; wrong values are refused; the commands have the same options."""

import subprocess
import sys
from dataclasses import fields

import numpy as np
import pytest
from training_cases import other_values

from mlp_jax.errors import InputError
from mlp_jax.training import FitOptions
from mlp_jax.training.fit_options import fit_options, shared_values
from mlp_jax.training.run.build import build
from mlp_jax.training.run.config import TrainConfig
from mlp_jax.training.run.run import fit_options_of

WRONG = [
    ({"epochs": 2.5}, "The option epochs must be a whole number, not 2.5."),
    ({"epochs": True}, "The option epochs must be a whole number, not True."),
    ({"batch_size": "8"}, "The option batch_size must be a whole number, not '8'."),
    ({"recompute": 1}, "The option recompute must be True or False, not 1."),
    ({"average": "0.9"}, "The option average must be a number, not '0.9'."),
    ({"device": 0}, "The option device must be a name, not 0."),
]


def test_a_value_of_the_wrong_type_is_one_sentence():
    """In a process of its own, for the tests check types of every call before."""
    code = f"""
from mlp_jax.errors import InputError
from mlp_jax.training import FitOptions
for options, _ in {WRONG!r}:
    try:
        FitOptions(**options)
    except InputError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [sentence for _, sentence in WRONG]


def test_numbers_of_numpy_become_pythons():
    options = FitOptions(epochs=int(np.int64(3)), seed=5)
    assert type(options.epochs) is int


def test_keywords_take_the_place_of_the_options_fields():
    options = fit_options(FitOptions(epochs=3, seed=4), {"epochs": 5})
    assert (options.epochs, options.seed) == (5, 4)


def test_an_unknown_keyword_is_refused_with_the_nearest_name():
    with pytest.raises(TypeError, match=r"no training option 'epoch'\. Did you mean 'epochs'\?"):
        fit_options(None, {"epoch": 3})


def test_every_option_of_a_network_is_one_of_the_command():
    shared = {f.name for base in FitOptions.__bases__ for f in fields(base)}
    assert shared <= {f.name for f in fields(TrainConfig)}
    usual = FitOptions()
    for name, value in shared_values(TrainConfig()).items():
        assert value == getattr(usual, name), name


def test_the_commands_options_reach_fit():
    shared = {f.name for base in FitOptions.__bases__ for f in fields(base)}
    changed = other_values(TrainConfig()) | {"select": "last", "metrics": ("f1",)}
    changed = {name: value for name, value in changed.items() if name in shared}
    parts = build(TrainConfig(metrics=("f1",), validation=0.2))
    options = fit_options_of(TrainConfig(**changed), parts)
    for name, value in changed.items():
        assert getattr(options, name) == value != getattr(FitOptions(), name), name


@pytest.mark.parametrize(
    ("options", "validated", "best"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"select": "last"}, True, False),
        ({"select": "last", "patience": 2}, True, True),
        ({"select": "best"}, False, False),
    ],
)
def test_the_best_epoch_is_kept_where_validation_rows_can_tell(options, validated, best):
    assert FitOptions(**options).takes_best(validated=validated) is best


def test_an_average_that_is_no_number_is_refused():
    with pytest.raises(InputError, match="average must lie between 0 and 1, not nan"):
        FitOptions(average=float("nan"))
