import importlib
from collections.abc import Iterator

import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from mlp_jax.proof import Report


@pytest.fixture(scope="session")
def _compiled(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("compiled"))


@pytest.fixture(autouse=True, scope="module")
def _quick_compiler(_compiled: str) -> Iterator[None]:
    """Compiles fast and not well, as suits programs that run for a moment, and equal ones once."""
    before = {
        "jax_disable_most_optimizations": False,
        "jax_compilation_cache_dir": jax.config.jax_compilation_cache_dir,
        "jax_persistent_cache_min_compile_time_secs": 1.0,
    }
    here = (True, _compiled, 0.0)
    for name, value in zip(before, here, strict=True):
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture
def unproved(monkeypatch: pytest.MonkeyPatch) -> None:
    """`fit` without its proof, which has tests of its own and takes most of a small fit's time."""
    module = importlib.import_module("mlp_jax.training.plan")
    monkeypatch.setattr(module, "check_gradients", lambda *_, **__: Report(()))


@pytest.fixture
def x64() -> Iterator[None]:
    """Float64 for the length of one test."""
    with jax.enable_x64(True):
        yield
