"""How the columns of a table become features, as far as it can be chosen."""

from dataclasses import dataclass

from mlp_jax.errors import InputError, UnknownNameError

SCALINGS = ("standard", "robust", "quantile")
KINDS = ("numeric", "categorical", "boolean", "date")


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

    def __post_init__(self) -> None:
        if self.scaling not in SCALINGS:
            raise UnknownNameError("scaling", self.scaling, SCALINGS)
        for name, least in (("one_hot_up_to", 0), ("rare", 1), ("max_categories", 1)):
            value = getattr(self, name)
            if value < least:
                raise InputError(f"{name} must be at least {least}, but is {value}.")


def embedding_width(n_codes: int) -> int:
    """min(600, round(1.6·n^0.56)): fastai's rule (Howard & Gugger 2020, `emb_sz_rule`)."""
    return min(600, round(1.6 * n_codes**0.56))
