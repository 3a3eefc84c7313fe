"""`mlp-jax train`: start or resume a run."""

from pathlib import Path

from mlp_jax.cli.options import parse, take_config
from mlp_jax.training.run.config import TrainConfig, read_config, run_config


def train(words: list[str]) -> int:
    """Run `mlp-jax train`."""
    default, rest = take_config(words, TrainConfig(), read_config, run_config, "run")
    about = (
        "Train a network on data, after verifying its gradient. --config FILE.toml sets the\n"
        "same options; the command line takes precedence.\n\n"
        "Example: mlp-jax train --data fashion_mnist --hidden 512 512 --optimizer adamw\n"
        "  --learning-rate 2e-3 --schedule one-cycle --dropout 0.2 --epochs 20"
    )
    config = parse(TrainConfig, "train", about, rest, default)
    from mlp_jax.model.compilation_cache import use_compilation_cache
    from mlp_jax.model.metrics import undefined
    from mlp_jax.training.mesh.processes import process_group
    from mlp_jax.training.run.run import resume
    from mlp_jax.training.run.run import train as run

    use_compilation_cache()
    with process_group(config.distributed):
        result = run(config) if config.resume is None else resume(Path(config.resume), config)
    if result.folder is not None:
        for name, value in result.test.items():
            print(f"test {name}: {value:.4f}")
        for sentence in undefined(result.test, "the test rows"):
            print(sentence)
        print(f"run: {result.folder}")
    return 0
