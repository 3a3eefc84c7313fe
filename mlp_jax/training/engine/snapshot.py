"""Snapshot of a run between two compiled calls, from which it can resume exactly."""

from typing import Any, NamedTuple

from mlp_jax.backprop.specification import Params, State


class Best(NamedTuple):
    """Weights of the best epoch so far, by the monitored metric.

    score: larger is better. loss: validation loss, which breaks ties.
    """

    score: float
    loss: float
    epoch: int
    params: Params
    layer_state: State


class Position(NamedTuple):
    """Position of a run, on the host.

    epoch: the current one, from 1. done: its finished steps. loss, weight: their sums of weight ·
    loss and weight. history: records of the earlier epochs. stopped: early stopping or a callback
    ended the run. noise: fields of the `NoiseAverage` of the diagnostics, 0 without them.
    """

    epoch: int = 1
    done: int = 0
    loss: float = 0.0
    weight: float = 0.0
    history: tuple[dict[str, float], ...] = ()
    stopped: bool = False
    noise: tuple[float, float, float] = (0.0, 0.0, 0.0)

    @classmethod
    def of(cls, record: dict[str, Any]) -> "Position":
        """Return the position from its JSON fields, where tuples are lists."""
        noise = tuple(record.get("noise", cls().noise))
        return cls(**{**record, "history": tuple(record["history"]), "noise": noise})


class Snapshot(NamedTuple):
    """State on the device, position on the host, and the best weights if they are kept.

    state: a `TrainState`, or the `ManyState` of networks that train together.
    """

    state: State
    position: Position = Position()
    best: Best | None = None
