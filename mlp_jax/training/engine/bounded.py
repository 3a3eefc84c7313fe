"""A `jax.jit` that keeps the programs of only the last few static specifications.

JAX keeps every program that a process compiles. A search over many networks would keep about 8 MiB
for each of them.
"""

import threading
from collections.abc import Callable
from typing import Any

import jax

MOST = 16


class BoundedJit:
    """Jitted function whose first `static` arguments are specifications.

    All programs are dropped once there are more than `most` specifications.
    """

    def __init__(
        self, function: Callable[..., Any], static: int, most: int = MOST, **options: Any
    ) -> None:
        self.__doc__ = function.__doc__
        self._static, self._most = static, most
        self._jitted: Any = jax.jit(function, static_argnums=tuple(range(static)), **options)
        self._seen: set[tuple[Any, ...]] = set()
        self._lock = threading.Lock()

    def __call__(self, *arguments: Any) -> Any:
        """Run the program for these specifications and shapes."""
        self._note(arguments[: self._static])
        return self._jitted(*arguments)

    def lower(self, *arguments: Any) -> Any:
        """Lower like `jax.jit`; the caller keeps the result."""
        return self._jitted.lower(*arguments)

    @property
    def count(self) -> int:
        """Number of specifications with programs."""
        return len(self._seen)

    def _note(self, specifications: tuple[Any, ...]) -> None:
        with self._lock:
            if specifications not in self._seen and len(self._seen) >= self._most:
                self._seen.clear()
                self._jitted.clear_cache()
            self._seen.add(specifications)
