"""`mlp-jax sweep`: train and rank many networks; start or resume a sweep."""

from pathlib import Path

from mlp_jax.cli.options import parse, take_config
from mlp_jax.training.sweep.config import SweepConfig, read_sweep, sweep_config


def _one_hidden(words: list[str]) -> list[str]:
    """Merge repeated options: `--hidden 32 --hidden 64 64` as `--hidden 32, 64,64`, two shapes."""
    groups: list[list[str]] = []
    rest: list[str] = []
    into = rest
    for word in words:
        if word.startswith("--"):
            name, given, value = word.partition("=")
            if name == "--hidden":
                into = [value] if given else []
                groups.append(into)
                continue
            into = rest
        into.append(word)
    if len(groups) > 1:
        shapes = [group if _has_commas(group) else [",".join(group) + ","] for group in groups]
        return [*rest, "--hidden", *(word for shape in shapes for word in shape)]
    return words


def _has_commas(words: list[str]) -> bool:
    return any("," in word for word in words)


def sweep(words: list[str]) -> int:
    """Run `mlp-jax sweep`: print the ranked trials and the folder of the best model."""
    default, rest = take_config(words, SweepConfig(), read_sweep, sweep_config, "sweep")
    about = (
        "Train many networks of one shape as one compiled program, with hyperparameters drawn\n"
        "from the ranges, and rank them. Several shapes use successive halving. --config\n"
        "FILE.toml sets the same options; the command line takes precedence.\n\n"
        "Example: mlp-jax sweep --data digits --hidden 64 64 --learning-rate 1e-4:1e-1:log\n"
        "  --weight-decay 0:0.1 --trials 64 --seeds 4"
    )
    config = parse(SweepConfig, "sweep", about, _one_hidden(rest), default)
    from mlp_jax.model.compilation_cache import use_compilation_cache
    from mlp_jax.training.mesh.processes import process_group
    from mlp_jax.training.sweep.run import resume_sweep, run_sweep

    use_compilation_cache()
    with process_group(config.distributed):
        if config.resume is None:
            run_sweep(config)
        else:
            resume_sweep(Path(config.resume), config)
    return 0
