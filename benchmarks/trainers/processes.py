"""Contenders as processes that are asked one at a time, so that only one computes."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from mlp_jax.errors import MlpJaxError
from trainers.entrants import Entrant


class AbsentError(MlpJaxError):
    """The contender gives no answer: skipped, failed or gone. `status` is "skipped" or "failed"."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def threads() -> int:
    """The cores that a process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ContenderProcess:
    """A contender's process; a context manager that ends it.

    gpu: whether it may see the GPU.
    """

    def __init__(self, entrant: Entrant, gpu: bool = False) -> None:
        self.entrant = entrant
        self.errors = tempfile.TemporaryFile(mode="w+")  # noqa: SIM115 - closed in __exit__
        number = str(threads())
        paths = filter(None, (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")))
        settings = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), number)
        settings |= {"OPENBLAS_NUM_THREADS": number, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
        settings["PYTHONPATH"] = os.pathsep.join(paths)
        if not gpu:
            settings |= {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "trainers.serve", entrant.name, entrant.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=os.environ | settings,
        )

    def __enter__(self) -> "ContenderProcess":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(OSError):
            self.process.stdin.close()
        if error is not None:
            self.process.terminate()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.errors.close()

    def ask(self, do: str, **what: Any) -> dict[str, Any]:
        """The answer to a request; AbsentError where there is none."""
        assert self.process.stdin is not None
        try:
            print(json.dumps({"do": do, **what}), file=self.process.stdin, flush=True)
        except OSError:
            raise self._gone() from None
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """The next answer; AbsentError where it says that there is none, or never comes."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise self._gone()
        reply: dict[str, Any] = json.loads(line)
        if "skipped" in reply:
            raise AbsentError("skipped", reply["skipped"])
        if "error" in reply:
            raise AbsentError("failed", reply["error"])
        return reply

    def _gone(self) -> AbsentError:
        """Its process has ended: the last line that it wrote says why."""
        code = self.process.wait()
        self.errors.seek(0)
        lines = [line for line in self.errors.read().splitlines() if line.strip()]
        last = lines[-1].strip() if lines else "it wrote no reason"
        return AbsentError("failed", f"its process ended with code {code}: {last}")
