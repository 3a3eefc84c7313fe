"""The whole suite runs with shapes checked, strict dtype promotion and no silent broadcasting."""

import os

os.environ.setdefault("JAX_PLATFORMS", "" if os.environ.get("MLP_JAX_TEST_GPU") else "cpu")

from collections.abc import Iterator

import jax
import pytest
from jaxtyping import install_import_hook

install_import_hook("mlp_jax", "typecheck.checked")

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that needs a GPU is skipped, with the reason, where JAX sees none."""
    if jax.default_backend() == "gpu":
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="JAX sees no GPU here"))


@pytest.fixture
def optax_promotes() -> Iterator[None]:
    """Lets Optax mix dtypes: Adam's bias correction raises a float to an int32 count."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
