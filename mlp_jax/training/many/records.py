"""Records of an epoch of many networks: one flat record, and one per member."""

from collections.abc import Mapping, Sequence

import numpy as np

Record = dict[str, float]


def flat(together: Record, members: Mapping[int, Record]) -> Record:
    """Return one record: the shared values, then "member_K_NAME" of each member that trained."""
    found = dict(together)
    for k, record in members.items():
        found |= {
            f"member_{k}_{name}": value
            for name, value in record.items()
            if name not in ("epoch", "step")
        } | {f"member_{k}_step": record["step"]}
    return found


def histories(flat_records: Sequence[Record], count: int) -> list[tuple[Record, ...]]:
    """Return the history of each member, as `fit` would return it, from the flat records."""
    found: list[list[Record]] = [[] for _ in range(count)]
    for record in flat_records:
        own: dict[int, Record] = {}
        for name, value in record.items():
            if name.startswith("member_"):
                number, _, rest = name.removeprefix("member_").partition("_")
                own.setdefault(int(number), {})[rest] = value
        for k, values in own.items():
            step = values.pop("step")
            found[k].append({"epoch": record["epoch"], "step": step, **values})
    return [tuple(records) for records in found]


def mean(values: Sequence[float]) -> float:
    """Return the mean of the values that are not NaN; NaN without any."""
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
