"""Presets by name: the one place where the estimators look them up."""

import importlib.util
from typing import Any

from mlp_jax.errors import InputError, UnknownNameError

PRESETS = ("images", "tabular")


def find_preset(name: str) -> Any:
    """The preset of that name; UnknownNameError for one that is none."""
    if name not in PRESETS:
        raise UnknownNameError("preset", name, PRESETS)
    if importlib.util.find_spec("mlp_jax.training.presets") is None:
        raise InputError(f"The preset '{name}' is not part of this version.")
    raise InputError(f"The preset '{name}' does not train an estimator yet.")
