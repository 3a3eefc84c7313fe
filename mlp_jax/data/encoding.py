"""Encodings learned from the training rows, as data: from raw rows to a network's inputs.

Frozen records without arrays of rows in them, so that they are saved with the model as JSON, read
back without running code, and applied again at prediction. Fitting them is `data/tables/`.

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
"""Of labels: str, int64, float64 and bool, or the NumPy type that they had."""
SMOOTH_CLIP = 3.0
SCALED_LIMIT = 1e6  # scaled numbers are clipped to ± this, so that no sum in the network overflows

MISSING_WORDS = (
    "na", "n/a", "#n/a", "<na>", "nan", "nat", "null", "none", "?", "-", "--", "missing", "unknown"
)  # fmt: skip
"""Words that count as missing in every column, in any case; the empty text always does."""


def missing_numbers(na_values: Sequence[str]) -> tuple[float, ...]:
    """Return the words that are finite numbers, which count as missing among numbers too."""
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
    """Format of the numbers or dates of a column that come as text.

    decimal: the decimal mark. thousands: the mark between groups of three digits, "" for none; " "
    stands for any space and "'" for any apostrophe. symbol: a currency or %, left out. date: the
    format of a date as `strptime` has it, "" for ISO 8601. missing: words, in lower case, that
    count as missing in this column besides `na_values`.
    """

    decimal: Literal[".", ","] = "."
    thousands: Literal["", ",", ".", " ", "'"] = ""
    symbol: str = ""
    date: str = ""
    missing: tuple[str, ...] = ()


@dataclass(frozen=True)
class NumericColumn:
    """One number of a column → one feature, and a second that is 1 where it is missing.

    v is the number (booleans are 0 and 1, so that they become −1 and 1 by center 0.5 and scale 2;
    for a date, `part` of it, from days since 1970-01-01 UTC: "days" itself, or sine and cosine of
    2π·days/365.2425, /7 or /1); where it is missing or not finite, `fill`. The feature is

    - none: v;  standard: s = (v − center)·scale, center the mean and scale 1/standard deviation;
    - robust: s as above, then s/√(1 + (s/3)²), center the median and scale 1/(q75 − q25), or
      2/(max − min) where that is 0 (Holzmüller 2024, RealMLP);
    - quantile: normal `scores` interpolated linearly at v between `knots`, constant beyond.

    s is clipped to ±SCALED_LIMIT. indicator: whether the second feature exists (where a training
    row had the value missing). form: how the values are written where they come as text.
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
    """A category → its code, one feature: k + 1 for categories[k] (text as it stands in the table).

    A number is looked up by its shortest text (3.0 as "3"), true and false in lower case; what is
    no category but a number, by its value, where one category alone has it ("3.0" as "3", and 2139
    as "02139"). Text with a leading zero is no number. Missing are null, NaN, the empty text and
    the words of `na_values`.
    rare: the code of what is rare or was never seen in training, missing: of a missing value;
    either is 0 where no training row had it, and code 0 reaches the network as a vector of zeros.
    n_codes: the codes besides 0 run from 1 to n_codes. width: of the learned embedding, 0 for
    one-hot.
    """

    name: str
    categories: tuple[str, ...]
    rare: int
    missing: int
    n_codes: int
    width: int = 0


@dataclass(frozen=True)
class TableEncoding:
    """Table rows → x (N, I) float32: numeric features in order, each with its indicator behind
    it where it has one, then one code a categorical column.

    ignored: columns of the training table that carry nothing (constant, all missing) or were
    dropped; they may be absent at prediction. header: whether the first line of a text file of such
    rows names its columns; else they are "0", "1", …. na_values: words, in lower case, that count
    as missing in text, and those that are numbers in columns of numbers too. separator: of the text
    file that it was learned from, "" where that was none.
    """

    numeric: tuple[NumericColumn, ...]
    categorical: tuple[CategoricalColumn, ...]
    ignored: tuple[str, ...] = ()
    header: bool = True
    na_values: tuple[str, ...] = MISSING_WORDS
    separator: str = ""

    @property
    def n_numeric(self) -> int:
        """The features before the codes."""
        return sum(1 + column.indicator for column in self.numeric)

    @property
    def n_features(self) -> int:
        """I."""
        return self.n_numeric + len(self.categorical)

    @property
    def column_names(self) -> tuple[str, ...]:
        """The columns of a table that prediction needs, each once."""
        names = [column.name for column in self.numeric]
        return tuple(dict.fromkeys(names + [column.name for column in self.categorical]))

    @property
    def written_columns(self) -> tuple[str, ...]:
        """The columns whose text says more than the number that a reader may take it for."""
        formed = [column.name for column in self.numeric if column.form != TextForm()]
        return tuple(dict.fromkeys(formed + [column.name for column in self.categorical]))


@dataclass(frozen=True)
class ArrayEncoding:
    """Array rows → x: v·scale + offset, of length 1 (one for all) or I; both empty: v itself.

    pixels: rows are uint8 and stay so until the step. image_shape: (height, width[, channels]).
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

    names: the target's columns in the table; () for arrays. A regression network predicts
    (y − offset)/scale of each of its C outputs; scale and offset are empty where y is as it is.
    label_type: the type that the labels of a classification had in the training data, and that
    predictions have again. forms: how each column's numbers are written where they come as text,
    () where plainly. na_values: as those of `TableEncoding`.
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
        """Return the classes (C,) as labels of the type that the training data had.

        Returns: str, int64, float64, bool or what `label_type` names, in the order of `classes`.
        """
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


InputEncoding = TableEncoding | ArrayEncoding


def input_layers(inputs: InputEncoding | None) -> tuple[Layer, ...]:
    """Return the layers that take encoded rows: one for categorical codes, none without them."""
    if not isinstance(inputs, TableEncoding) or not inputs.categorical:
        return ()
    columns = inputs.categorical
    codes, widths = (tuple(c.n_codes for c in columns), tuple(c.width for c in columns))
    return (Categories(inputs.n_numeric, codes, widths),)
