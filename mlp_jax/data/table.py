"""`Table`: named columns of any type, before encoding."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import polars as pl

Kind = Literal["numeric", "categorical", "boolean", "date"]


@dataclass(frozen=True, eq=False)
class Table:
    """Rows with named columns, the targets among them, and separate test rows if there are any.

    Attributes:
        name: name in messages.
        frame: the rows.
        targets: columns to predict.
        test: test rows, or None.
        kinds: declared kinds of columns; others are inferred from the training rows.
        task: "classification", "regression" or "auto" (by the rule of `task.py`).
        header: the file names its columns; else they are "0", "1", ….
        written: the rows come from a text file.
        likely: decimal mark to prefer for numbers that fit both, as elsewhere in the file.
        separator: of the fields of a text file.
        notes: what was inferred, for the user.
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
