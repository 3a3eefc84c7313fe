"""A table as it came: named columns of any type, before anything is learned from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import polars as pl

Kind = Literal["numeric", "categorical", "boolean", "date"]


@dataclass(frozen=True, eq=False)
class Table:
    """Rows with named columns, which of them are to be predicted, and the set's own test rows.

    kinds: what is known about columns beforehand; the others' kinds are found from the training
    rows. task: "classification", "regression" or "auto" (by the rule of `task.py`). header:
    whether the file that it came from names its columns; else they are "0", "1", …. written:
    whether it came from a file of text, whose types are those of its words. likely: the decimal
    mark that its file uses elsewhere, for numbers that fit both. separator: of the fields of a file
    of text. notes: what was inferred when it
    was read.
    """

    name: str
    frame: "pl.DataFrame"
    targets: tuple[str, ...]
    test: "pl.DataFrame | None" = None
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    task: str = "auto"
    header: bool = True
    written: bool = False
    likely: Literal[".", ","] = "."
    separator: str = ""
    notes: tuple[str, ...] = ()
