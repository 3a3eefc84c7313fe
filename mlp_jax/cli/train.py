"""`mlp-jax train`: a run, new or gone on with."""

from pathlib import Path

from mlp_jax.cli.options import parse
from mlp_jax.errors import InputError
from mlp_jax.training.config import TrainConfig, read_config, run_config


def _take_config(words: list[str]) -> tuple[TrainConfig, list[str]]:
    """The defaults, from --config FILE or the run to --resume if the words name one, and the rest.

    The run is among the rest too.
    """
    default, rest = TrainConfig(), []
    remaining = iter(words)
    for word in remaining:
        name, given, value = word.partition("=")
        if name not in ("--config", "--resume"):
            rest.append(word)
            continue
        if not given:
            following = next(remaining, None)
            if following is None:
                what = "a TOML file" if name == "--config" else "the folder of a run"
                raise InputError(f"{name} needs {what}.")
            value = following
        if name == "--resume":
            rest += [name, value]
            default = run_config(Path(value))
        else:
            default = read_config(Path(value))
    return default, rest


def train(words: list[str]) -> int:
    """`mlp-jax train`."""
    default, rest = _take_config(words)
    about = (
        "Train a network on data, after proving its gradient. "
        "--config FILE.toml sets\nthe same names; the command line wins.\n\n"
        "Example: mlp-jax train --data fashion_mnist --hidden 512 512 --optimizer adamw\n"
        "  --learning-rate 2e-3 --schedule one-cycle --dropout 0.2 --epochs 20"
    )
    config = parse(TrainConfig, "train", about, rest, default)
    from mlp_jax.cli.start import use_compilation_cache
    from mlp_jax.training.run import resume
    from mlp_jax.training.run import train as run

    use_compilation_cache()
    result = run(config) if config.resume is None else resume(Path(config.resume), config)
    for name, value in result.test.items():
        print(f"test {name}: {value:.4f}")
    print(f"run: {result.folder}")
    return 0
