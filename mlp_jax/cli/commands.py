"""Table of the commands. Each parses its options and calls the package."""

from collections.abc import Callable

from mlp_jax.cli.bench import bench
from mlp_jax.cli.check import check
from mlp_jax.cli.compare import compare
from mlp_jax.cli.datasets import datasets
from mlp_jax.cli.evaluate import evaluate
from mlp_jax.cli.explain import explain
from mlp_jax.cli.export import export
from mlp_jax.cli.inspect import inspect
from mlp_jax.cli.laplace import laplace
from mlp_jax.cli.predict import predict
from mlp_jax.cli.report import report
from mlp_jax.cli.runs import runs
from mlp_jax.cli.sweep import sweep
from mlp_jax.cli.train import train

COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "train": train,
    "sweep": sweep,
    "check": check,
    "explain": explain,
    "runs": runs,
    "compare": compare,
    "report": report,
    "inspect": inspect,
    "datasets": datasets,
    "evaluate": evaluate,
    "predict": predict,
    "laplace": laplace,
    "export": export,
    "bench": bench,
}
