"""`mlp-jax explain`: the backward pass of a network, equation by equation."""

from dataclasses import dataclass

from mlp_jax.cli.options import parse
from mlp_jax.errors import InputError
from mlp_jax.proof.trial import Trial


@dataclass(frozen=True)
class ExplainOptions(Trial):
    """Options of `mlp-jax explain`."""

    batch_size: int = 128
    """batch size, for the memory that the backward pass needs"""


def explain(words: list[str]) -> int:
    """Run `mlp-jax explain`."""
    about = (
        "Print the backward pass of a network, equation by equation, with shapes, cost and "
        "measured agreement.\n\n"
        "Example: mlp-jax explain --inputs 784 --hidden 512 512 --outputs 10"
    )
    options: ExplainOptions = parse(ExplainOptions, "explain", about, words, ExplainOptions())
    if options.batch_size < 1:
        raise InputError(f"A batch needs at least 1 example, not {options.batch_size}.")
    from mlp_jax.model.compilation_cache import use_compilation_cache
    from mlp_jax.proof.explain import explain as text

    use_compilation_cache()
    print(text(options, options.batch_size))
    return 0
