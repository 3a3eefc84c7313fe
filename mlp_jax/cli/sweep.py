"""`mlp-jax sweep`: many networks at once, and the best of them."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from mlp_jax.cli.options import parse
from mlp_jax.training.config import Count, Number, Switch, Word, Words

Text = Annotated[str, tyro.conf.arg(help_behavior_hint="", metavar="RANGE")]
OptionalText = Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="RANGE")]


@dataclass(frozen=True)
class SweepOptions:
    """Everything that `mlp-jax sweep` can be told."""

    data: Annotated[str, tyro.conf.arg(help_behavior_hint="", metavar="DATA")] = "digits"
    """a name (`mlp-jax datasets`), FILE or folder, URL, openml:NAME, hf:NAME"""
    target: Words = ()
    """columns of a table to predict, by name or index"""
    task: Word = None
    """classification or regression; else what the target looks like"""
    drop: Words = ()
    """columns to leave out"""
    data_dir: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="FOLDER")] = None
    """where named sets are; else $MLP_JAX_DATA"""
    hidden: Annotated[tuple[str, ...], tyro.conf.arg(metavar="WIDTHS ...")] = ("64", "64")
    """64 64 is one shape; 64,64 128,128 are two"""
    learning_rate: Text = "1e-4:1e-1:log"
    """LOW:HIGH, LOW:HIGH:log, A,B,C or a number"""
    weight_decay: OptionalText = None
    """the same; else the optimizer's"""
    dropout: Text = "0"
    """the same"""
    label_smoothing: Text = "0"
    """the same, for the cross-entropies"""
    trials: int = 32
    """random draws of these numbers, a shape"""
    seeds: int = 1
    """networks a trial, for the spread"""
    activation: str = "relu"
    """by name; a wrong one lists all"""
    norm: Word = None
    """layer, rms or batch, before each activation"""
    residual: Switch = False
    """shortcuts around layers of equal width"""
    optimizer: str = "adam"
    """by name; a wrong one lists all"""
    schedule: str = "constant"
    """or cosine one-cycle linear step warm-up"""
    batch_size: Count = None
    """examples a step; else 64, or all where there are fewer"""
    epochs: int = 30
    """passes over the training rows"""
    patience: Count = None
    """a network stops after so many epochs without a better one"""
    metrics: Words = ()
    """the first one ranks"""
    validation: Number = None
    """share of the training rows; else 0.1, 2000 at most"""
    test: float = 0.2
    """share, for data without test rows"""
    seed: int = 0
    """of the draws, the split, the order, and the first network of a trial"""
    precision: Word = None
    """float32, tf32, bf16 or float64"""
    device: Word = None
    """cpu or gpu"""
    out: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="FOLDER")] = None
    """the sweep's folder; else a new one under runs/"""


def sweep(words: list[str]) -> int:
    """Prints the ranked trials, and where the best model is."""
    about = (
        "Train many networks of one shape as one compiled program, with random numbers from the\n"
        "ranges, and rank them. Several shapes run by successive halving.\n\n"
        "Example: mlp-jax sweep --data digits --hidden 64 64 --learning-rate 1e-4:1e-1:log\n"
        "  --weight-decay 0:0.1 --trials 64 --seeds 4"
    )
    options: SweepOptions = parse(SweepOptions, "sweep", about, words, SweepOptions())
    from mlp_jax.cli.start import use_compilation_cache
    from mlp_jax.training.many.search import run_sweep

    use_compilation_cache()
    run_sweep(options)
    return 0
