import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import pytest

from mlp_jax.cli.main import main
from mlp_jax.proof import Report


class Said(NamedTuple):
    """How a command ended: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


@pytest.fixture(autouse=True, scope="module")
def _quick_compiler() -> Iterator[None]:
    """Compiles fast and not well, as suits programs that run for a moment."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def mlp_jax(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., Said]:
    """Runs the command in this process, in an empty folder, without the user's cache."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "elsewhere")
    monkeypatch.setenv("COLUMNS", "100")

    def run(*words: str) -> Said:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(words)
        return Said(ended.value.code, *capfd.readouterr())

    return run


@pytest.fixture
def unproved(monkeypatch: pytest.MonkeyPatch) -> None:
    """`train` without its proof, which has tests of its own and takes long."""
    module = importlib.import_module("mlp_jax.training.plan")
    monkeypatch.setattr(module, "check_gradients", lambda *_, **__: Report(()))


@pytest.fixture
def flowers(tmp_path: Path) -> Path:
    """A small table of three classes: forty rows of two features."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 3
    x = (rng.standard_normal((40, 2)) + 3 * y[:, None]).astype(np.float32)
    np.savez(tmp_path / "flowers.npz", x=x, y=y)
    return tmp_path / "flowers.npz"
