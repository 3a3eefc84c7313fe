"""Checks of private runs: required options, and options that a resumed run must keep."""

from mlp_jax.errors import InputError
from mlp_jax.training.private.config import Privacy
from mlp_jax.training.run.config import TrainConfig

ONLY_PRIVATE = ("epsilon", "delta", "clip_example", "input_range")


def check_private(config: TrainConfig) -> None:
    """Raise InputError for privacy options without --private, or for a missing budget."""
    given = [name for name in ONLY_PRIVATE if getattr(config, name) not in (None, ())]
    if not config.private and given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"{options} needs --private.")
    if config.private and (config.epsilon is None or config.delta is None):
        raise InputError(
            "A private run needs a budget, such as --epsilon 3 --delta 1e-5, with a delta below"
            " 1/rows."
        )


def privacy_of(config: TrainConfig) -> Privacy | None:
    """Return the privacy budget of the run; None for a run that is not private."""
    if not config.private or config.epsilon is None or config.delta is None:
        return None
    clip = 1.0 if config.clip_example is None else config.clip_example
    return Privacy(config.epsilon, config.delta, clip)


def check_private_resume(saved: TrainConfig, requested: TrainConfig, finished: bool) -> None:
    """Raise InputError if a private run has finished, or if its epochs change."""
    if not saved.private:
        return
    if requested.epochs != saved.epochs:
        raise InputError(
            f"The noise of this private run was chosen for {saved.epochs} epochs, so it cannot"
            f" train for {requested.epochs}."
        )
    if finished:
        raise InputError("This private run has finished, and its budget is spent.")
