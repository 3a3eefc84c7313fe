"""`mlp-jax COMMAND …`: dispatch commands; print errors as one sentence, with an exit code."""

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
  evaluate  evaluate a saved model on rows with targets
  predict   predict the rows of a file, of any size
  export    export a saved model to ONNX or StableHLO
  laplace   fit the uncertainty of a model's weights, for predict and evaluate
  runs      list the runs in a folder: data, network, best metric, time
  compare   compare the options and curves of runs
  report    write an HTML report of a run: gradient check, curves, mistakes
  inspect   show layer diagnostics, and rows with suspicious labels
  datasets  list the data sets, and whether they are on this machine
  check     verify the hand-written gradient of a network, layer by layer
  explain   print the backward pass of a network, equation by equation
  bench     compare speed with jax.grad and with other trainers

mlp-jax COMMAND --help shows the options.  Example: mlp-jax train --data digits --hidden 256 256
"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit: 0, 1 for a failed check or a diverged run, 2 for invalid input."""
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
    """Print only the message of a warning, without its place in the source.

    NumPy's "overflow encountered in square" is left out: it means nothing without its place, and
    non-finite values are reported or rejected where they matter.
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
    """Run a command by name."""
    from mlp_jax.cli import commands
    from mlp_jax.errors import UnknownNameError

    if command not in commands.COMMANDS:
        raise UnknownNameError("command", command, commands.COMMANDS)
    return commands.COMMANDS[command](words)


if __name__ == "__main__":
    main()
