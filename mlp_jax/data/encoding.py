"""Encodings of raw rows as network inputs, fitted to the training rows and stored as data.

Frozen records without rows, so that they are saved with the model as JSON, loaded without running
code, and applied again at prediction. They are fitted in `data/tables/`.

Letters: N rows, I features, C classes or outputs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from mlp_jax.backprop import Categories, Layer

NumberScaling = Literal["none", "standard", "robust", "quantile"]
DatePart = Literal["", "days", "year_sin", "year_cos", "week_sin", "week_cos", "day_sin", "day_cos"]
LabelType = Literal[
    "text", "integer", "number", "boolean",
    "int8", "int16", "int32", "uint8", "uint16", "uint32", "uint64", "float16", "float32",
    "datetime64[D]", "datetime64[s]", "datetime64[ms]", "datetime64[us]", "datetime64[ns]",
]  # fmt: skip
"""Type of labels: str, int64, float64 and bool, or their NumPy dtype."""
SMOOTH_CLIP = 3.0
SCALED_LIMIT = 1e6  # bound of scaled numbers, so that no sum in the network overflows

MISSING_WORDS = (
    "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", "?", "-", "--", "missing", "unknown"
)  # fmt: skip
"""Words that count as missing in every column, in any case; the empty text always does."""


def missing_numbers(na_values: Sequence[str]) -> tuple[float, ...]:
    """Return the finite numbers among the words, which also count as missing in numeric columns."""
    found = []
    for word in na_values:
        try:
            value = float(word)
        except ValueError:
            continue
        if math.isfinite(value):
            found.append(value)
    return tuple(found)


@dataclass(frozen=True)
class TextForm:
    """Format of the numbers or dates of a text column.

    Attributes:
        decimal: decimal mark.
        thousands: mark between groups of three digits, "" for none; " " stands for any space and
            "'" for any apostrophe.
        symbol: currency or % to strip.
        date: `strptime` format of dates, "" for ISO 8601.
        missing: lower-case words that count as missing in this column besides `na_values`.
    """

    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'"] = ""
    symbol: str = ""
    date: str = ""
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class NumericColumn:
    """Encoding of a number as one feature, and an optional second one that is 1 if it is missing.

    v is the number (booleans are 0 and 1, which center 0.5 and scale 2 map to −1 and 1; for a date,
    `part` of it, from days since 1970-01-01 UTC: "days", or sine and cosine of 2π·days/365.2425, /7
    or /1); if it is missing or not finite, `fill`. The feature is

    - none: v;  standard: s = (v − center)·scale, center the mean and scale 1/standard deviation;
    - robust: s as above, then s/√(1 + (s/3)²), center the median and scale 1/(q75 − q25), or
      2/(max − min) where that is 0 (Holzmüller 2024, RealMLP);
    - quantile: normal `scores` interpolated linearly at v between `knots`, constant beyond.

    s is clipped to ±SCALED_LIMIT. indicator: the second feature exists (a training row had the
    value missing). form: format of values that are text.
    """

    name: str
    fill: float = 0.0
    indicator: bool = False
    scaling: NumberScaling = "standard"
    center: float = 0.0
    scale: float = 1.0
    knots: tuple[float, ...] = ()
    scores: tuple[float, ...] = ()
    boolean: bool = False
    part: DatePart = ""
    form: TextForm = TextForm()


@dataclass(frozen=True)
class CategoricalColumn:
    """Encoding of a category as its code: k + 1 for categories[k] (text as in the table).

    Numbers are matched by their shortest text (3.0 as "3"), true and false in lower case, then by
    value if exactly one category has it ("3.0" as "3", and 2139 as "02139"). Text with a leading
    zero is not a number. Null, NaN, the empty text and the words of `na_values` are missing.

    Attributes:
        name: name of the column.
        categories: the categories, as text.
        rare: code of rare and unseen categories.
        missing: code of missing values. Both are 0 if no training row had one; code 0 is a vector
            of zeros in the network.
        n_codes: number of codes besides 0.
        width: width of the learned embedding, 0 for one-hot.
    """

    name: str
    categories: tuple[str, ...]
    rare: int
    missing: int
    n_codes: int
    width: int = 0


@dataclass(frozen=True)
class TableEncoding:
    """Encoding of table rows as x (N, I) float32.

    The numeric features come first, each followed by its indicator if it has one, then one code per
    categorical column.

    Attributes:
        numeric: numeric columns.
        categorical: categorical columns.
        ignored: columns of the training table that are constant, missing or dropped; they may be
            absent at prediction.
        header: the first line of a text file names the columns; else they are "0", "1", ….
        na_values: lower-case words that count as missing; those that are numbers also in numbers.
        separator: of the text file of the training rows, "" if there was none.
    """

    numeric: tuple[NumericColumn, ...]
    categorical: tuple[CategoricalColumn, ...]
    ignored: tuple[str, ...] = ()
    header: bool = True
    na_values: tuple[str, ...] = MISSING_WORDS
    separator: str = ""

    @property
    def n_numeric(self) -> int:
        """Number of features before the codes."""
        return sum(1 + column.indicator for column in self.numeric)

    @property
    def n_features(self) -> int:
        """Number of features."""
        return self.n_numeric + len(self.categorical)

    @property
    def column_names(self) -> tuple[str, ...]:
        """Columns of a table that prediction needs, each once."""
        names = [column.name for column in self.numeric]
        return tuple(dict.fromkeys(names + [column.name for column in self.categorical]))

    @property
    def written_columns(self) -> tuple[str, ...]:
        """Columns to read as text, since a number would lose information."""
        formed = [column.name for column in self.numeric if column.form != TextForm()]
        return tuple(dict.fromkeys(formed + [column.name for column in self.categorical]))


@dataclass(frozen=True)
class ArrayEncoding:
    """Encoding of array rows as v·scale + offset.

    Attributes:
        n_features: I.
        scale: of length 1 (for all columns), I, or 0 for no scaling.
        offset: of the same length.
        pixels: rows are uint8 until the step.
        image_shape: (height, width[, channels]), or empty.
        feature_names: names of the columns, or empty.
    """

    n_features: int
    scale: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()
    pixels: bool = False
    image_shape: tuple[int, ...] = ()
    feature_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class TargetEncoding:
    """Encoding of the target. Labels are the index into `classes` (text as in the table).

    A regression network predicts (y − offset)/scale of each of its C outputs.

    Attributes:
        task: the task.
        names: target columns of the table; () for arrays.
        classes: names of the classes.
        scale: standard deviations, empty for unscaled targets.
        offset: means, empty for unscaled targets.
        label_type: type of the labels in the training data, which predictions have again.
        forms: number format of each text column, () if all are plain.
        na_values: as in `TableEncoding`.
    """

    task: Literal["classification", "multilabel", "regression"]
    names: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    scale: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()
    label_type: LabelType = "text"
    forms: tuple[TextForm, ...] = ()
    na_values: tuple[str, ...] = MISSING_WORDS

    def label_values(self) -> np.ndarray:
        """Return the classes (C,) as labels in the type of the training data."""
        names = self.classes
        if self.label_type == "text":
            return np.array(names, np.str_)
        if self.label_type == "boolean":
            return np.array([name.lower() == "true" for name in names], np.bool_)
        usual = {"integer": "int64", "number": "float64"}
        dtype = np.dtype(usual.get(self.label_type, self.label_type))
        if dtype.kind == "M":
            return np.array(names, dtype)
        read = float if dtype.kind == "f" else int
        return np.array([read(name) for name in names], dtype)


def scaled_target(scale: np.ndarray, offset: np.ndarray) -> TargetEncoding:
    """Return the encoding of a regression on arrays: (y − offset)/scale of each output (C,)."""
    return TargetEncoding(
        task="regression", scale=tuple(scale.tolist()), offset=tuple(offset.tolist())
    )


InputEncoding = TableEncoding | ArrayEncoding


def input_layers(inputs: InputEncoding | None) -> tuple[Layer, ...]:
    """Return the layers that take encoded rows: one for categorical codes, or none."""
    if not isinstance(inputs, TableEncoding) or not inputs.categorical:
        return ()
    columns = inputs.categorical
    codes, widths = (tuple(c.n_codes for c in columns), tuple(c.width for c in columns))
    return (Categories(inputs.n_numeric, codes, widths),)
