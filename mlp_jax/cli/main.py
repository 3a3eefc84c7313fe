"""`mlp-jax COMMAND …`: finds the command, and turns errors into one sentence and an exit code."""

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from mlp_jax.cli.letters import spell_what_is_missing
from mlp_jax.errors import MlpJaxError

USAGE = """\
usage: mlp-jax COMMAND [OPTIONS]

  train     train a network on data, after verifying its gradient
  sweep     train many networks at once, and rank them
  check     prove the hand-written gradient of a network, layer by layer
  explain   the backward pass of a network, equation by equation, with its shapes
  runs      the runs in a folder: data, network, best metric, when
  compare   what differs between runs, and their curves in one picture
  report    one HTML page about a run: proof, curves, mistakes, gradients
  inspect   what troubles a trained network: layers, and rows whose labels look wrong
  datasets  what can be trained on, and whether it is on this machine
  evaluate  a saved model on rows whose targets are known
  predict   a saved model on a file of rows, of any size
  laplace   how uncertain a run's weights are, for predict and evaluate
  export    a saved model as one file that other programs run
  bench     measure: the gradient against jax.grad, the epoch against other trainers

mlp-jax COMMAND --help shows the options.  Example: mlp-jax train --data digits --hidden 256 256
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command and exits: 0, 1 for a failed proof or a diverged run, 2 for bad input."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    spell_what_is_missing((sys.stdout, sys.stderr))
    if not words or words[0] in ("-h", "--help"):
        print(USAGE, end="")
        sys.exit(0 if words else 2)
    if words[0] == "--version":
        from mlp_jax import __version__

        print(f"mlp-jax {__version__}")
        sys.exit(0)
    try:
        with _warnings_as_sentences():
            sys.exit(_run(words[0], words[1:]))
    except MlpJaxError as error:
        print(f"mlp-jax: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("mlp-jax: interrupted.", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        print(f"mlp-jax: {error.strerror or error}{where}.", file=sys.stderr)
        sys.exit(2)


@contextlib.contextmanager
def _warnings_as_sentences() -> Iterator[None]:
    """Shows a warning as what it says alone: its place in the source is of no use to a user.

    NumPy's "overflow encountered in square" says nothing without it, and is left out: a figure that
    is not finite is reported, or refused, where it matters.
    """

    def sentence(message: Warning | str, *_: Any, **__: Any) -> str:
        return "" if " encountered in " in str(message) else f"mlp-jax: {message}\n"

    before = warnings.formatwarning
    warnings.formatwarning = sentence
    try:
        yield
    finally:
        warnings.formatwarning = before


def _run(command: str, words: list[str]) -> int:
    from mlp_jax.cli import commands
    from mlp_jax.errors import UnknownNameError

    if command not in commands.COMMANDS:
        raise UnknownNameError("command", command, commands.COMMANDS)
    return commands.COMMANDS[command](words)


if __name__ == "__main__":
    main()
