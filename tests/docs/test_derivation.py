"""The numbers and the code of docs/derivation.md, recomputed by witnesses that share no code."""

import contextlib
import inspect
import io
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from derivation_witnesses import WITNESSES, Values, by_loops, count

from mlp_jax.backprop.layer import (
    grad_input,
)

PAGE = Path(__file__).parents[2] / "docs" / "derivation.md"
TEXT = PAGE.read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?")
OTHER = r"E\(|entries|Vᵀ∇s"  # names with ∇ that are no gradient
INPUTS = ("a", "W", "b", "V", "d", "y", "dW", "A", "Y", "c")


# --- what the page says ---


class Claim(NamedTuple):
    """One line `name = name = arithmetic = value`: what is printed, and under which names."""

    names: tuple[str, ...]
    arithmetic: tuple[str, ...]
    value: str

    @property
    def numbers(self) -> list[str]:
        return printed_numbers(self.value)

    @property
    def shape(self) -> tuple[int, ...]:
        return np.shape(json.loads(self.value)) if "[" in self.value else ()


def printed_numbers(text: str) -> list[str]:
    """The numbers of a line, as written; a comma groups digits only outside of brackets."""
    return re.findall(r"-?\d+(?:\.\d+)?", text if "[" in text else text.replace(",", ""))


def is_arithmetic(part: str) -> bool:
    return re.fullmatch(r"[-+×\d. ]+", part) is not None


def claims(text: str) -> list[Claim]:
    """Every equation of the `text` blocks; a value may go on until its brackets close."""
    found, line = [], ""
    for language, block in FENCE.findall(text):
        if language != "text":
            continue
        for piece in block.splitlines():
            line = f"{line} {piece.strip()}".strip()
            if line.count("[") > line.count("]"):
                continue
            *parts, value = line.split(" = ")
            names = tuple(part for part in parts if not is_arithmetic(part))
            found.append(Claim(names, tuple(filter(is_arithmetic, parts)), value))
            line = ""
    assert line == "", f"brackets do not close: {line}"
    return found


def inputs(found: list[Claim]) -> dict[str, np.ndarray]:
    given = {claim.names[0]: claim.value for claim in found if claim.names[0] in INPUTS}
    return {name: np.array(json.loads(given[name]), np.float64) for name in INPUTS}


# --- the comparison ---


def agrees(printed: str, exact: float) -> bool:
    """Half a unit of the last printed place; a number with fewer than 6 decimals is exact."""
    decimals = len(printed.partition(".")[2])
    return abs(float(printed) - exact) <= (0.5000001 * 10.0**-decimals if decimals >= 6 else 1e-12)


def value_of(name: str, values: Values) -> np.ndarray | float | None:
    """The value of that name, of an element such as ∇W_21, or the count that it names."""
    if name in values:
        return values[name]
    element = re.fullmatch(r"(.+)_(\d+)", name)
    if element and element[1] in values:
        return values[element[1]][tuple(int(digit) - 1 for digit in element[2])]
    return count(name)


def disagreements(found: list[Claim], values: Values) -> list[str]:
    """Each printed value that is not the witness's; a name that it does not know is passed by."""
    wrong = []
    for claim in found:
        for name in claim.names:
            exact = value_of(name, values)
            if exact is None:
                continue
            same_shape = np.shape(exact) == claim.shape
            if not (same_shape and all(map(agrees, claim.numbers, np.ravel(exact)))):
                wrong.append(f"{name}: printed {claim.value}, is {np.asarray(exact).tolist()}")
    return wrong


def wrong_arithmetic(found: list[Claim]) -> list[str]:
    """Each hand calculation with a factor that is printed nowhere else, or a wrong result."""
    known = {number.lstrip("-") for claim in found for number in claim.numbers}
    wrong = []
    for claim in found:
        for line in claim.arithmetic:
            factors = [number.lstrip("-") for number in printed_numbers(line)]
            total = sum(
                math.prod(float(factor) for factor in term.split(" × "))
                for term in line.split(" + ")
            )
            if not known.issuperset(factors) or abs(total - float(claim.value)) > 2e-6:
                wrong.append(f"{claim.names}: {line} is {total}, printed {claim.value}")
    return wrong


def faults(text: str) -> list[str]:
    found = claims(text)
    return disagreements(found, by_loops(inputs(found))) + wrong_arithmetic(found)


CLAIMS = claims(TEXT)
BLOCKS = [block for language, block in FENCE.findall(TEXT) if language == "python"]


@pytest.mark.parametrize("witness", WITNESSES)
def test_every_number_is_the_one_that_the_witness_computes(witness):
    assert disagreements(CLAIMS, WITNESSES[witness](inputs(CLAIMS))) == []


def test_hand_calculations_use_printed_numbers_and_come_out():
    assert sum(len(claim.arithmetic) for claim in CLAIMS) >= 5
    assert wrong_arithmetic(CLAIMS) == []


def test_every_name_is_known_and_every_gradient_has_three_witnesses():
    computed = [witness(inputs(CLAIMS)) for witness in WITNESSES.values()]
    names = {name for claim in CLAIMS for name in claim.names}
    assert all(value_of(name, computed[0]) is not None for name in names)
    gradients = {name for name in names if "∇" in name and not re.search(OTHER, name)}
    assert gradients >= {"∇z", "∇a", "∇W", "∇b", "∇A", "Aᵀ(c ⊙ ∇Z)", "(c ⊙ ∇Z)ᵀ1"}
    for values in computed:
        assert all(value_of(name, values) is not None for name in gradients)


def changed_once(text: str) -> Iterator[tuple[str, str]]:
    """The page with the last digit, or the sign, of one number changed; and where."""
    for fence in FENCE.finditer(text):
        for line in re.finditer(".+", fence[2] if fence[1] == "text" else ""):
            for number in NUMBER.finditer(line[0], max(line[0].find(" = "), 0)):
                start, end = (fence.start(2) + line.start() + at for at in number.span())
                digit = str((int(text[end - 1]) + 1) % 10)
                yield f"{number[0]} in {line[0]}", text[: end - 1] + digit + text[end:]
                if float(number[0].replace(",", "")) != 0:
                    turned = number[0][1:] if number[0][0] == "-" else f"-{number[0]}"
                    yield f"sign of {number[0]} in {line[0]}", text[:start] + turned + text[end:]


def test_a_single_changed_digit_or_sign_is_noticed():
    changes = list(changed_once(TEXT))
    assert len(changes) > 300
    assert [where for where, changed in changes if not faults(changed)] == []


def test_code_runs_and_prints_what_its_comments_say():
    names: dict = {}
    for block in BLOCKS:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), jax.default_matmul_precision("highest"):
            exec(compile(block, str(PAGE), "exec"), names)
        said = [line.removeprefix("# ") for line in block.splitlines() if line.startswith("# ")]
        assert printed.getvalue().splitlines() == said
    given = inputs(CLAIMS)
    for name in ("W", "b", "V", "d", "A", "Y", "c"):
        np.testing.assert_array_equal(names[name], given[name].astype(np.float32))
    values = by_loops(given)
    for name, key in {"grad_s": "∇s", "grad_a_next": "∇a'", "grad_z": "∇z", "grad_a": "∇a"}.items():
        np.testing.assert_allclose(names[name][0], values[key], rtol=1e-5)


def test_the_lost_transpose_is_an_error_where_the_matrix_is_not_square():
    W, grad_z = jnp.ones((3, 2)), jnp.ones((1, 2))
    with pytest.raises(TypeError, match="contracting dimensions"):
        inspect.unwrap(grad_input)(W.T, grad_z)


def test_no_decimal_number_stands_outside_the_checked_blocks():
    assert re.findall(r"\d+\.\d+", FENCE.sub("", TEXT)) == []


def test_every_relative_link_leads_to_a_file():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT)
    assert links
    assert [link for link in links if not (PAGE.parent / link).is_file()] == []
