"""Options for the encoding of a table's columns."""

from dataclasses import dataclass

from mlp_jax.data.encoding import MISSING_WORDS
from mlp_jax.errors import InputError, UnknownNameError

SCALINGS = ("standard", "robust", "quantile")
SEPARATORS = {"\\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";"}
"""Spellings of separators that are hard to type on a command line."""
KINDS = ("numeric", "categorical", "boolean", "date")


@dataclass(frozen=True)
class TextOptions:
    """Declared format of text; InputError for invalid values."""

    separator: str | None = None
    """separator of fields; None to detect it"""
    decimal: str = ""
    """decimal mark, "." or ","; "" to detect it, column by column"""
    likely: str = "."
    """decimal mark of numbers that fit both"""
    date_format: str = ""
    """`strptime` format of dates; "" to detect it"""
    na_values: tuple[str, ...] = MISSING_WORDS
    """words that count as missing, in any case; the word default stands for the usual ones"""
    as_text: tuple[str, ...] = ()
    """columns that stay text, as written"""
    needed: tuple[str, ...] = ()
    """columns that a model needs, to verify the detected separator"""
    usual: str = ""
    """separator to try if they are missing"""

    def __post_init__(self) -> None:
        if self.decimal not in ("", ".", ","):
            raise InputError(f"The decimal mark must be '.' or ',', not '{self.decimal}'.")
        if self.separator is not None and len(self.separator.encode()) != 1:
            raise InputError(
                "The separator must be one character,"
                f" such as ',', ';' or '\\t', not '{self.separator}'."
            )
        if self.separator == '"':
            raise InputError("A quotation mark cannot be the separator.")
        if self.date_format and "%" not in self.date_format:
            raise InputError(f"A date format must be like %d.%m.%Y, not '{self.date_format}'.")
        given = [word.strip().lower() for word in self.na_values]
        usual = {"default": MISSING_WORDS}
        folded = tuple(dict.fromkeys(w for word in given for w in usual.get(word, (word,))))
        object.__setattr__(self, "na_values", folded)


@dataclass(frozen=True)
class ColumnOptions:
    """Encoding of numbers and categories.

    Args:
        scaling: scaling of numbers: standard, robust (median and interquartile range, smoothly
            clipped) or quantile.
        one_hot_up_to: number of codes up to which categories are one-hot, and above embedded.
        rare: minimum number of training rows of a category with a separate code.
        max_categories: maximum number of categories with separate codes.
        text: format of text.

    Raises:
        InputError: for a value out of range.
        UnknownNameError: for an unknown scaling.
    """

    scaling: str = "standard"
    one_hot_up_to: int = 16
    rare: int = 5
    max_categories: int = 10_000
    text: TextOptions = TextOptions()

    def __post_init__(self) -> None:
        if self.scaling not in SCALINGS:
            raise UnknownNameError("scaling", self.scaling, SCALINGS)
        for name, least in (("one_hot_up_to", 0), ("rare", 1), ("max_categories", 1)):
            value = getattr(self, name)
            if value < least:
                raise InputError(f"{name} must be at least {least}, but is {value}.")


def separator(written: str | None) -> str | None:
    """Return the separator for its command-line spelling; InputError for an invalid one."""
    return TextOptions(SEPARATORS.get(written or "", written)).separator


def embedding_width(n_codes: int) -> int:
    """Return min(600, round(1.6·n^0.56)), fastai's rule (Howard & Gugger 2020, `emb_sz_rule`)."""
    return min(600, round(1.6 * n_codes**0.56))
