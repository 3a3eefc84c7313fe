"""How the columns of a table become features, as far as it can be chosen."""

from dataclasses import dataclass

from mlp_jax.data.encoding import MISSING_WORDS
from mlp_jax.errors import InputError, UnknownNameError

SCALINGS = ("standard", "robust", "quantile")
SEPARATORS = {"\\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";"}
"""Separators as they are written on a command line, where the mark itself is hard to type."""
KINDS = ("numeric", "categorical", "boolean", "date")


@dataclass(frozen=True)
class TextOptions:
    """How text is written, as far as the user says it. Raises InputError for what cannot be."""

    separator: str | None = None
    """between the fields of a line; None where it is to be found"""
    decimal: str = ""
    """the decimal mark, "." or ","; "" where it is to be found, column by column"""
    likely: str = "."
    """the decimal mark of numbers that fit both"""
    date_format: str = ""
    """of dates, as `strptime` has it; "" where it is to be found"""
    na_values: tuple[str, ...] = MISSING_WORDS
    """words that count as missing, in any case"""
    as_text: tuple[str, ...] = ()
    """columns that stay as they are written, whose type is not found from the file"""
    needed: tuple[str, ...] = ()
    """columns that a model needs, which tell whether the separator that was found is the one"""
    usual: str = ""
    """the separator to try where they are not there"""

    def __post_init__(self) -> None:
        if self.decimal not in ("", ".", ","):
            raise InputError(f"The decimal mark is '.' or ',', not '{self.decimal}'.")
        if self.separator is not None and len(self.separator.encode()) != 1:
            raise InputError(
                f"The separator is one character, as ',' or ';' or '\\t', not '{self.separator}'."
            )
        if self.separator == '"':
            raise InputError("A quotation mark cannot be the separator.")
        if self.date_format and "%" not in self.date_format:
            raise InputError(f"A date format is like %d.%m.%Y, not '{self.date_format}'.")
        folded = tuple(dict.fromkeys(word.strip().lower() for word in self.na_values))
        object.__setattr__(self, "na_values", folded)


@dataclass(frozen=True)
class ColumnOptions:
    """What is done with numbers and categories. Raises InputError for what cannot be."""

    scaling: str = "standard"
    """of numbers: standard, robust (median and interquartile range, smoothly clipped), quantile"""
    one_hot_up_to: int = 16
    """categories one-hot up to this many codes, a learned embedding above"""
    rare: int = 5
    """categories with fewer training rows than this share one code"""
    max_categories: int = 10_000
    """the most frequent keep a code of their own, the others share one"""
    text: TextOptions = TextOptions()
    """how text is written"""

    def __post_init__(self) -> None:
        if self.scaling not in SCALINGS:
            raise UnknownNameError("scaling", self.scaling, SCALINGS)
        for name, least in (("one_hot_up_to", 0), ("rare", 1), ("max_categories", 1)):
            value = getattr(self, name)
            if value < least:
                raise InputError(f"{name} must be at least {least}, but is {value}.")


def separator(written: str | None) -> str | None:
    """The separator that is meant by what a command line says; InputError for none."""
    return TextOptions(SEPARATORS.get(written or "", written)).separator


def embedding_width(n_codes: int) -> int:
    """min(600, round(1.6·n^0.56)): fastai's rule (Howard & Gugger 2020, `emb_sz_rule`)."""
    return min(600, round(1.6 * n_codes**0.56))
