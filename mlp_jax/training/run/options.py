"""Options of `mlp-jax train` and `mlp-jax sweep`, in groups; `fit_options` declares those of `fit`.

Each class is a group of the help; the docstring of a field is its help text.
"""

from dataclasses import dataclass
from typing import Annotated

from mlp_jax.errors import InputError
from mlp_jax.training.fit_options import Count, Number, Shown, Switch, Word, Words

Text = str | None
Widths = Annotated[tuple[int, ...], Shown("INT ...", default=True)]
LowHigh = Annotated[tuple[float, ...], Shown("LOW HIGH")]


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Data: source, format and split of the rows."""

    data: Annotated[str, Shown("DATA")] = "digits"
    """data set by name (`mlp-jax datasets` lists them), file, folder, URL, openml:NAME, hf:NAME"""
    target: Words = ()
    """columns of a table to predict, by name or index"""
    task: Word = None
    """classification or regression (default: inferred from the target)"""
    numeric: Words = ()
    """columns to read as numbers"""
    categorical: Words = ()
    """columns to read as categories"""
    date: Words = ()
    """columns to read as dates"""
    drop: Words = ()
    """columns to leave out"""
    no_header: Switch = False
    """the file has no header line"""
    separator: Annotated[Text, Shown("MARK")] = None
    """field separator, such as ; or '\\t' (default: detected)"""
    decimal: Annotated[Text, Shown("MARK")] = None
    """decimal mark of numbers, . or , (default: detected per column)"""
    date_format: Annotated[Text, Shown("FORMAT")] = None
    """date format, such as %d.%m.%Y (default: detected per column)"""
    na_values: Annotated[tuple[str, ...], Shown("WORD ...")] = ()
    """words for missing values; default stands for the usual ones: NA n/a nan null …"""
    rare: Count = None
    """merge categories with fewer training rows than this (default: 5)"""
    scaling: str = "standard"
    """scaling of a table's numbers: standard, robust or quantile"""
    data_dir: Annotated[Text, Shown("FOLDER")] = None
    """folder of the named data sets (default: $MLP_JAX_DATA)"""
    validation: Number = None
    """fraction of the training rows for validation (default: 0.1, at most 2000 rows)"""
    test: float = 0.2
    """fraction of the rows to hold out for testing, if the data have no test rows"""
    split_column: Word = None
    """column with the split of each row: train, validation or test"""
    group_column: Word = None
    """column whose groups of equal values each stay in one split"""


@dataclass(frozen=True, kw_only=True)
class StreamOptions:
    """Streaming: train on data that does not fit into memory."""

    stream: Switch = False
    """read the rows from their files while training"""
    shards: Annotated[int | None, Shown(aliases=("--lanes",))] = None
    """number of shards of a table to read in parallel (default: 4, or one per process)"""


@dataclass(frozen=True, kw_only=True)
class RecipeOptions:
    """Recipe: a preset, a saved model to start from, an ensemble."""

    preset: Word = None
    """complete recipe of network, optimizer and training: tabular or images"""
    init_from: Annotated[Text, Shown("RUN")] = None
    """start from the model of this run"""
    ensemble: int = 1
    """number of networks to train at once and average"""


@dataclass(frozen=True, kw_only=True)
class SharedModelOptions:
    """Network and loss."""

    activation: str = "relu"
    """activation of the hidden layers (an unknown name lists all of them)"""
    loss: Word = None
    """loss function (default: chosen from the targets; an unknown name lists all of them)"""
    norm: Word = None
    """normalization before each activation: layer, rms or batch"""
    residual: Switch = False
    """add a residual connection around layers of equal width"""


@dataclass(frozen=True, kw_only=True)
class ModelOptions(SharedModelOptions):
    """Network and loss."""

    hidden: Widths = (256, 256)
    """widths of the hidden layers"""
    dropout: float = 0.0
    """dropout rate after each hidden layer"""
    label_smoothing: float = 0.0
    """label smoothing of the cross-entropy loss"""


@dataclass(frozen=True, kw_only=True)
class SharedOptimizerOptions:
    """Optimizer."""

    optimizer: str = "adam"
    """optimizer (an unknown name lists all of them)"""
    schedule: str = "constant"
    """learning-rate schedule: constant, cosine, one-cycle, linear, step, warm-up or coslog4"""
    warm_up: float = 0.0
    """fraction of the steps in which the learning rate rises"""
    clip_norm: Number = None
    """clip the gradient to this norm"""
    max_norm: Number = None
    """bound the norm of the incoming weights of each unit"""


@dataclass(frozen=True, kw_only=True)
class OptimizerOptions(SharedOptimizerOptions):
    """Optimizer."""

    learning_rate: Annotated[float | None, Shown(aliases=("--lr",))] = None
    """peak learning rate (default: chosen by the optimizer)"""
    weight_decay: Number = None
    """decoupled weight decay of the weight matrices"""


@dataclass(frozen=True, kw_only=True)
class DiagnosticsOptions:
    """Diagnostics."""

    diagnostics: Switch = True
    """skip the layer and gradient-noise diagnostics"""
    histograms: Switch = False
    """write histograms of weights and gradients for TensorBoard"""


@dataclass(frozen=True, kw_only=True)
class PrivateOptions:
    """Differential privacy (DP-SGD)."""

    private: Switch = False
    """train with differential privacy"""
    epsilon: Number = None
    """privacy budget ε"""
    delta: Number = None
    """failure probability δ"""
    clip_example: Number = None
    """clip the gradient of each example to this norm (default: 1)"""
    input_range: LowHigh = ()
    """range of the inputs (default: 0 255 for bytes)"""


@dataclass(frozen=True, kw_only=True)
class ProcessOptions:
    """Several processes."""

    distributed: Switch = False
    """train together with the processes that SLURM, Open MPI or Kubernetes started"""
    coordinator: Annotated[Text, Shown("HOST:PORT")] = None
    """address of process 0 (default: given by the scheduler)"""
    processes: Count = None
    """number of processes (default: given by the scheduler)"""
    process_id: Count = None
    """number of this process, from 0 (default: given by the scheduler)"""
    deterministic: Switch = False
    """use deterministic algorithms on a GPU, at lower speed"""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Run folder and checkpoints."""

    out: Annotated[Text, Shown("FOLDER", ("--output",))] = None
    """run folder (default: a new one under runs/)"""
    checkpoint_every: str = "20s"
    """checkpoint interval: '20s', '500 steps', '2 epochs' or never"""
    keep: int = 3
    """number of checkpoints to keep, at least 2"""
    resume: Annotated[Text, Shown("RUN")] = None
    """resume the run in this folder with its options"""


def check_processes(options: ProcessOptions) -> None:
    """Raise InputError for options of a distributed run without --distributed."""
    given = [
        f"--{name.replace('_', '-')}"
        for name in ("coordinator", "processes", "process_id")
        if getattr(options, name) is not None
    ]
    if given and not options.distributed:
        raise InputError(f"{', '.join(given)} is for distributed runs: add --distributed.")
