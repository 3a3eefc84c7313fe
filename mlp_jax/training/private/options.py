"""The options of a private run: what must be said, what goes together, what it is made of."""

from mlp_jax.errors import InputError
from mlp_jax.training.config import TrainConfig
from mlp_jax.training.private.asked import Privacy
from mlp_jax.training.private.refusals import refuse

ONLY_PRIVATE = ("epsilon", "delta", "clip_example", "input_range")


def check_options(config: TrainConfig) -> None:
    """InputError for options of private runs without --private, and for those that leak with it."""
    if not config.private:
        given = [name for name in ONLY_PRIVATE if getattr(config, name) not in (None, ())]
        if given:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
            raise InputError(f"{options} is for private runs: add --private.")
        return
    if config.epsilon is None or config.delta is None:
        raise InputError(
            "A private run is told how much it may tell: --epsilon 3 --delta 1e-5, say, with a"
            " delta below 1/rows."
        )
    refuse(
        (
            config.init_from is not None,
            "--init-from: that model may have learned from the same rows, and nobody counted it",
        ),
        (config.ensemble != 1, "--ensemble: every member would spend all of it"),
        (config.histograms, "--histograms: they show the gradients of single batches"),
    )


def privacy_of(config: TrainConfig) -> Privacy | None:
    """What a private run was told that it may tell; None of another run."""
    if not config.private or config.epsilon is None or config.delta is None:
        return None
    clip = 1.0 if config.clip_example is None else config.clip_example
    return Privacy(config.epsilon, config.delta, clip)


def check_resume(saved: TrainConfig, asked: TrainConfig, finished: bool) -> None:
    """InputError where a private run is over, or asked to go on for longer than planned."""
    if not saved.private:
        return
    if asked.epochs != saved.epochs:
        raise InputError(
            f"The noise of this private run was chosen for {saved.epochs} epochs, so there cannot"
            f" be {asked.epochs}."
        )
    if finished:
        raise InputError("This private run is over, and what it may tell is told.")
