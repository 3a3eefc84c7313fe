"""What `mlp-jax train` and `mlp-jax sweep` can both be told, once."""

from dataclasses import dataclass
from typing import Annotated, Any

import tyro

Word = Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="NAME")]
Number = Annotated[float | None, tyro.conf.arg(help_behavior_hint="")]
Count = Annotated[int | None, tyro.conf.arg(help_behavior_hint="")]
Switch = Annotated[bool, tyro.conf.arg(help_behavior_hint="")]
Words = Annotated[tuple[str, ...], tyro.conf.arg(help_behavior_hint="", metavar="NAME ...")]


@dataclass(frozen=True)
class SharedOptions:
    """The options of any training, in their order; the docstrings of the fields are their help.

    Those that are one number to a run and a range to a sweep have their place here, and type and
    default there.
    """

    data: Annotated[str, tyro.conf.arg(help_behavior_hint="", metavar="DATA")] = "digits"
    """a name (`mlp-jax datasets`), FILE or folder, URL, openml:NAME, hf:NAME"""
    target: Words = ()
    """columns of a table to predict, by name or index"""
    task: Word = None
    """classification or regression; else what the target looks like"""
    numeric: Words = ()
    """columns to take as numbers"""
    categorical: Words = ()
    """columns to take as categories"""
    date: Words = ()
    """columns to take as dates"""
    drop: Words = ()
    """columns to leave out"""
    no_header: Switch = False
    """the file's first line is a row"""
    separator: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="MARK")] = None
    """of a text file's fields, as ; or '\\t'; else found in its lines"""
    decimal: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="MARK")] = None
    """decimal mark of numbers in text, . or ,; else found column by column"""
    date_format: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="FORMAT")] = (
        None
    )
    """of dates in text, like %d.%m.%Y; else found column by column"""
    na_values: Annotated[
        tuple[str, ...], tyro.conf.arg(help_behavior_hint="", metavar="WORD ...")
    ] = ()
    """words that count as missing, in place of NA n/a nan null none ? - missing unknown …"""
    rare: Count = None
    """a table's categories with fewer training rows share one code; else 5"""
    scaling: str = "standard"
    """a table's numbers: standard, robust or quantile"""
    data_dir: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="FOLDER")] = None
    """where named sets are; else $MLP_JAX_DATA"""
    hidden: Any = None
    activation: str = "relu"
    """by name; a wrong one lists all"""
    loss: Word = None
    """by name; else what suits the targets"""
    label_smoothing: Any = None
    dropout: Any = None
    norm: Word = None
    """layer, rms or batch, before each activation"""
    residual: Switch = False
    """shortcuts around layers of equal width"""
    optimizer: str = "adam"
    """by name; a wrong one lists all"""
    learning_rate: Any = None
    schedule: str = "constant"
    """or cosine, one-cycle, linear, step, warm-up, coslog4"""
    warm_up: float = 0.0
    """share of the run in which the rate rises"""
    weight_decay: Any = None
    clip_norm: Number = None
    """bound on the norm of the gradient"""
    max_norm: Number = None
    """bound on the norm of each unit's incoming weights"""
    batch_size: Count = None
    """examples a step; else 64, or all where there are fewer"""
    epochs: int = 30
    """passes over the training rows"""
    patience: Count = None
    """stop after so many epochs without a better one"""
    average: Number = None
    """decay of a moving average of the weights"""
    importance: Count = None
    """batches to draw each batch from, by gradient"""
    class_weight: Word = None
    """balanced: every class counts the same"""
    metrics: Words = ()
    """each epoch: accuracy top5 f1 log_loss roc_auc …"""
    validation: Number = None
    """share of the training rows; else 0.1, 2000 at most"""
    test: float = 0.2
    """share, for data without test rows"""
    split_column: Word = None
    """a table's column that says train, validation or test"""
    group_column: Word = None
    """a table's column whose equal values stay in one part"""
    seed: int = 0
    """of split, weights, order and dropout"""
    precision: Word = None
    """float32, tf32, bf16 or float64"""
    device: Word = None
    """cpu or gpu"""
    devices: Count = None
    """how many to use at once; else every GPU, or one CPU"""
    distributed: Switch = False
    """train with other processes, that SLURM, Open MPI or Kubernetes started"""
    coordinator: Annotated[
        str | None, tyro.conf.arg(help_behavior_hint="", metavar="HOST:PORT")
    ] = None
    """distributed: where the first process listens, if no scheduler says"""
    processes: Count = None
    """distributed: how many there are"""
    process_id: Count = None
    """distributed: which of them this is, from 0"""
    deterministic: Switch = False
    """the same bits each time on a GPU too, if slower"""
    out: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="FOLDER")] = None
    """the run's folder; else a new one under runs/"""
    checkpoint_every: str = "20s"
    """or '500 steps', '2 epochs', never"""
    keep: int = 3
    """checkpoints that stay, at least 2"""
    resume: Annotated[str | None, tyro.conf.arg(help_behavior_hint="", metavar="RUN")] = None
    """go on with that run, by its own options"""
