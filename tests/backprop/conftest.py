"""Compiling is most of the time here: the programs are small and run once."""

import os
from collections.abc import Iterator

import jax
import pytest

QUICK = "--xla_cpu_use_fusion_emitters=false"
# A flag that XLA does not know ends the process, and this one is known of these versions.
if jax.__version_info__ < (0, 11) and QUICK not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {QUICK}".strip()


@pytest.fixture
def x64() -> Iterator[None]:
    """Float64 for the length of one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(autouse=True, scope="module")
def compiled_fast_and_not_well() -> Iterator[None]:
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", before)
