"""Options of private runs: what they need, and what a resumed one may not change."""

from mlp_jax.errors import InputError
from mlp_jax.training.private.config import Privacy
from mlp_jax.training.run.config import TrainConfig

ONLY_PRIVATE = ("epsilon", "delta", "clip_example", "input_range")


def check_private(config: TrainConfig) -> None:
    """Raise InputError for privacy options without --private, and for a missing budget."""
    given = [name for name in ONLY_PRIVATE if getattr(config, name) not in (None, ())]
    if not config.private and given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise InputError(f"{options} is for private runs: add --private.")
    if config.private and (config.epsilon is None or config.delta is None):
        raise InputError(
            "A private run needs a budget: --epsilon 3 --delta 1e-5, say, with a delta below"
            " 1/rows."
        )


def privacy_of(config: TrainConfig) -> Privacy | None:
    """Return the budget of a private run; None of another run."""
    if not config.private or config.epsilon is None or config.delta is None:
        return None
    clip = 1.0 if config.clip_example is None else config.clip_example
    return Privacy(config.epsilon, config.delta, clip)


def check_private_resume(saved: TrainConfig, asked: TrainConfig, finished: bool) -> None:
    """Raise InputError if a private run is over, or should run longer than planned."""
    if not saved.private:
        return
    if asked.epochs != saved.epochs:
        raise InputError(
            f"The noise of this private run was chosen for {saved.epochs} epochs, so there cannot"
            f" be {asked.epochs}."
        )
    if finished:
        raise InputError("This private run is over, and its budget is spent.")
