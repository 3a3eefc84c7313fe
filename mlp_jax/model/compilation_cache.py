"""Compiled programs on disk, which a command or an estimator switches on before it computes."""

import os
from pathlib import Path

import jax

CACHE = "jax_compilation_cache_dir"


def use_compilation_cache() -> None:
    """Keep compiled programs in the user's cache directory, so that a second start is quick.

    JAX_COMPILATION_CACHE_DIR or JAX's own setting, if set, says where instead. Without a folder
    that can be written, programs are compiled each time: JAX would warn of every one of them.
    """
    chosen = getattr(jax.config, CACHE, None)
    if chosen and "://" not in chosen and not _can_be_written(Path(chosen)):
        jax.config.update(CACHE, None)
    if chosen or os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        return
    folder = _usual_folder()
    if folder is None or not _can_be_written(folder):
        return
    jax.config.update(CACHE, str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def _usual_folder() -> Path | None:
    """The folder in the user's cache directory; None for a user who has no home."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    try:  # a relative one is to be ignored, says the XDG standard
        base = Path(named) if Path(named).is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        return None
    return base / "mlp-jax" / "compiled"


def _can_be_written(folder: Path) -> bool:
    """Whether the folder is there, or can be made, and takes files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
