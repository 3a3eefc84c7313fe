"""A run between two compiled calls: all that must be kept so that it goes on as if never cut."""

from typing import Any, NamedTuple


class Best(NamedTuple):
    """The weights of the epoch whose monitored metric was best so far (score: larger is better).

    loss: its validation loss, by which epochs of equal score are told apart.
    """

    score: float
    loss: float
    epoch: int
    params: Any
    layer_state: Any


class Position(NamedTuple):
    """Where a run stands, on the host.

    epoch: the one under way, from 1.  done: its steps so far.  loss, weight: their sums of
    weight · loss and weight.  history: the records of the epochs before it.  stopped: patience or
    a callback ended the run before its last epoch.  noise: the fields of the `NoiseAverage` of the
    looks between epochs, all 0 without them.
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
        """From its fields as JSON has them, where tuples are lists."""
        noise = tuple(record.get("noise", cls().noise))
        return cls(**{**record, "history": tuple(record["history"]), "noise": noise})


class Snapshot(NamedTuple):
    """State on the device, position on the host, and the best weights where they are tracked.

    state: a `TrainState`, or the `ManyState` of networks that train together.
    """

    state: Any
    position: Position = Position()
    best: Best | None = None
