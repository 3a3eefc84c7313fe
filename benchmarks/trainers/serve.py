"""The process of one contender: it waits for a request, computes, answers, and waits again.

    python -m trainers.serve NAME

A request and an answer are one line of JSON each, over the standard streams. Requests:
{"do": "load", "folder": …}, {"do": "trial", "steps": …}, {"do": "start"} and
{"do": "epoch", "number": …}. An answer has "error" where the request could not be met, and
"skipped" where the contender cannot take part. Whatever a library prints goes to standard error.
"""

import importlib
import json
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import IO, Any

import numpy as np

from trainers.contenders.base import Contender, UnsupportedError
from trainers.problem import load_problem, save_weights

ORDERS = "orders.npy"
EPOCH_ORDERS = 3
SAMPLE = 0.25  # seconds; a short epoch would be timed on caches that the contender before it left


class Server:
    """Answers requests with the contender of a module."""

    def __init__(self, name: str, module: ModuleType) -> None:
        self.name, self.module = name, module
        self.contender: Contender | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply to a request."""
        do: Callable[..., dict[str, Any]] = getattr(self, request.pop("do"))
        return do(**request)

    def load(self, folder: str) -> dict[str, Any]:
        """A new contender for the problem in that folder. The first to come draws the orders."""
        self.contender = None
        self.folder = Path(folder)
        problem = load_problem(self.folder)
        self.contender = self.module.Trainer(problem)
        orders = self.folder / ORDERS
        if not orders.exists():
            np.save(orders, self.module.epoch_orders(problem, EPOCH_ORDERS))
        self.contender.take_orders(np.load(orders))
        return {}

    def trial(self, steps: int) -> dict[str, Any]:
        """So many first steps; the weights after them are saved."""
        assert self.contender is not None
        self.contender.trial(self.contender.problem.first_rows(steps))
        save_weights(self.contender.weights(), self.folder, self.name)
        return {}

    def start(self) -> dict[str, Any]:
        """Back to the first weights."""
        assert self.contender is not None
        self.contender.start()
        return {}

    def epoch(self, number: int) -> dict[str, Any]:
        """What an epoch took: from this one on, as many as fill a sample; or what is measured."""
        assert self.contender is not None
        found = dict(self.contender.epoch(number))
        if "seconds" not in found:
            return found
        epochs, total = 1, found["seconds"]
        while total < SAMPLE:
            total += self.contender.epoch(number + epochs)["seconds"]
            epochs += 1
        return {"seconds": total / epochs}


def _private_output() -> IO[str]:
    """Standard output for answers alone; what is printed from now on goes to standard error."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def _attempt(action: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The answer, or why there is none."""
    try:
        return action()
    except UnsupportedError as error:
        return {"skipped": str(error)}
    except ModuleNotFoundError as error:
        return {"skipped": f"{error.name} is not installed: pip install 'mlp-jax[bench]'"}
    except Exception as error:  # a contender's own: it is reported, and the others go on
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0]}


def serve(name: str, module: str, requests: IO[str], answers: IO[str]) -> None:
    """Answers until the requests end. The first answer says that the library is there."""
    found: list[Server] = []

    def begin() -> dict[str, Any]:
        found.append(Server(name, importlib.import_module(module)))
        return {}

    print(json.dumps(_attempt(begin)), file=answers, flush=True)
    for line in requests if found else ():
        reply = _attempt(partial(found[0].answer, json.loads(line)))
        print(json.dumps(reply), file=answers, flush=True)


def main() -> None:
    """Serves the contender whose name and module are the two arguments."""
    name, module = sys.argv[1:3]
    serve(name, module, sys.stdin, _private_output())


if __name__ == "__main__":
    main()
