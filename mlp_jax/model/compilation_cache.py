"""Disk cache of compiled programs, enabled by commands and estimators before they compute."""

import os
from pathlib import Path

import jax

CACHE = "jax_compilation_cache_dir"


def use_compilation_cache() -> None:
    """Cache compiled programs in the user's cache directory, for a quick second start.

    JAX_COMPILATION_CACHE_DIR or JAX's setting takes precedence. Without a writable folder the cache
    stays off; JAX would warn for each program.
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
    """Return the folder in the user's cache directory; None for a user without a home."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    try:  # the XDG standard ignores relative paths
        base = Path(named) if Path(named).is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        return None
    return base / "mlp-jax" / "compiled"


def _can_be_written(folder: Path) -> bool:
    """Return True if the folder exists or can be created, and is writable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
