"""Compiled programs on disk, which a command or an estimator switches on before it computes."""

import os
from pathlib import Path

import jax

CACHE = "jax_compilation_cache_dir"


def use_compilation_cache() -> None:
    """Keeps compiled programs in the user's cache directory, so that a second start is quick.

    JAX_COMPILATION_CACHE_DIR or JAX's own setting, if set, says where instead; a folder that cannot
    be made is done without.
    """
    if os.environ.get("JAX_COMPILATION_CACHE_DIR") or getattr(jax.config, CACHE, None):
        return
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    folder = Path(base) / "mlp-jax" / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    jax.config.update(CACHE, str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
