"""`jax.jit` that keeps the programs of the last few specifications, and not of all there ever were.

JAX keeps every program that a process compiles. One that trains many different networks, as a
search does, would hold some 8 MiB for each until it ends.
"""

import threading
from collections.abc import Callable
from typing import Any

import jax

MOST = 16


class BoundedJit:
    """A function as compiled programs, whose first `static` arguments are specifications.

    Where more than `most` different ones have come, the programs of all are let go.
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
        """The function's value, by the program for these specifications and shapes."""
        self._note(arguments[: self._static])
        return self._jitted(*arguments)

    def lower(self, *arguments: Any) -> Any:
        """As `jax.jit`'s: the program to compile, which is the caller's to keep."""
        return self._jitted.lower(*arguments)

    @property
    def count(self) -> int:
        """How many specifications it holds programs of."""
        return len(self._seen)

    def _note(self, specifications: tuple[Any, ...]) -> None:
        with self._lock:
            if specifications not in self._seen and len(self._seen) >= self._most:
                self._seen.clear()
                self._jitted.clear_cache()
            self._seen.add(specifications)
