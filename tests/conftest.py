"""The whole suite runs with shapes checked, strict dtype promotion and no silent broadcasting."""

import ctypes
import gc
import os
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "" if os.environ.get("MLP_JAX_TEST_GPU") else "cpu")
if version("jax").startswith("0.10."):  # an XLA that does not know a flag ends the process
    # The older code generator compiles in half the time, which is most of what the tests take; and
    # eight devices that two busy cores simulate may wait long for one another.
    flags = (
        "--xla_cpu_use_fusion_emitters=false",
        "--xla_cpu_collective_call_terminate_timeout_seconds=300",
    )
    os.environ["XLA_FLAGS"] = " ".join((os.environ.get("XLA_FLAGS", ""), *flags)).strip()

from collections.abc import Iterator

import jax
import pytest
from jaxtyping import install_import_hook

install_import_hook("mlp_jax", "typecheck.checked")

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
if not os.environ.get("MLP_JAX_TEST_GPU"):
    jax.config.update("jax_num_cpu_devices", 8)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A test that needs a GPU is skipped, with the reason, where JAX sees none."""
    if jax.default_backend() == "gpu":
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="JAX sees no GPU here"))


MOST_MAPPINGS = 30_000
MOST_MEMORY = 2 << 30  # bytes


@pytest.fixture(autouse=True, scope="module")
def room_for_compiled_programs() -> Iterator[None]:
    """Lets compiled programs go where a process has many: each maps some memory, of which Linux
    allows 65,530 pieces, and ends a process that asks for more.

    What earlier modules hold is no garbage, and is not looked through for it until then.
    """
    gc.freeze()
    yield
    maps, memory = Path("/proc/self/maps"), Path("/proc/self/statm")
    if not maps.exists():
        return
    held = int(memory.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    if held > MOST_MEMORY or maps.read_bytes().count(b"\n") > MOST_MAPPINGS:
        from mlp_jax.training import compile as calls
        from mlp_jax.training.diagnostics import batch_diagnostics

        calls._compiled.cache_clear()
        batch_diagnostics._compiled.cache_clear()
        jax.clear_caches()
        gc.unfreeze()
        gc.collect()
        give_back = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
        if give_back is not None:  # what is free counts as held until then
            give_back(0)


@pytest.fixture
def optax_promotes() -> Iterator[None]:
    """Lets Optax mix dtypes: Adam's bias correction raises a float to an int32 count."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield
