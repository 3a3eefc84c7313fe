"""The command that trains a run again, from its configuration."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from mlp_jax.training.run.config import TrainConfig


def train_command(config: Mapping[str, Any]) -> list[str]:
    """Return `mlp-jax train` and every option that is not the default, each with its values."""
    default = asdict(TrainConfig())
    groups = [["mlp-jax", "train"], ["--data", str(config.get("data", default["data"]))]]
    for name, value in config.items():
        if name == "data" or _plain(value) == _plain(default.get(name)):
            continue
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, Mapping):
            groups.append([option, *(str(word) for pair in value.items() for word in pair)])
        elif isinstance(value, list | tuple):
            groups.append([option, *map(str, value)])
        elif value is True:
            groups.append([option])
        elif value is not False:
            groups.append([option, str(value)])
    return [shlex.join(group) for group in groups]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value
