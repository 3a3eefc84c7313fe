"""Plain English: docstrings and messages of the packages listed here follow the style guide."""

import ast
import importlib
import inspect
import re
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any

import pytest

import mlp_jax

ROOT = Path(mlp_jax.__file__).parent
PACKAGES = (
    "backprop", "bench", "cli", "data", "estimators", "model", "proof", "reports", "training",
)  # fmt: skip
FIRST_WORDS = re.compile(
    r"(What|How|Whether|That of|Those|Adds|Appends|Builds|Chooses|Closes|Deletes|Draws|Finds|Fits"
    r"|Gives|Goes|Holds|Joins|Judges|Keeps|Leaves|Lets|Loads|Makes|Meets|Notes|Prints|Proves|Puts"
    r"|Raises|Reads|Removes|Returns|Runs|Saves|Sets|Shows|Takes|Tells|Trains|Turns|Waits|Writes)\b"
)
AVOIDED = re.compile(
    r"\b(is|are) (told|said)\b|\bgo(ing|ne)? on\b|\bhad from\b|\bhangs? on\b|\bsettle[ds]?\b"
    r"|\bwished\b|\blook(ed)? at\b|\bput aside\b|\bso many-th\b"
    r"|\bof (its|their) own\b|\bin the mean\b"
)
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def faults(source: str) -> Iterator[str]:
    """Iterate over the sentences of a module that break the style, with their lines."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, DOCUMENTED) and (text := ast.get_docstring(node)):
            if FIRST_WORDS.match(text):
                yield f"line {getattr(node, 'lineno', 1)}: {text.splitlines()[0]}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            for found in AVOIDED.finditer(node.value):
                yield f"line {node.lineno}: '{found.group()}'"


def missing_sections(thing: Any) -> set[str]:
    """Return the sections that a public function or record needs and does not have."""
    text = inspect.getdoc(thing) or ""
    if inspect.isclass(thing):
        fields = inspect.get_annotations(thing)
        record = is_dataclass(thing) or hasattr(thing, "_fields")
        described = "Args:" in text or "Attributes:" in text
        return {"Args or Attributes"} if record and fields and not described else set()
    signature = inspect.signature(thing)
    needed = {"Args"} if signature.parameters else set()
    if signature.return_annotation is not None:
        needed.add("Returns")
    return {section for section in needed if f"{section}:" not in text}


def public_names() -> Iterator[Any]:
    """Iterate over what the package and the listed ones export, where it is defined in those."""
    modules = [mlp_jax, *(importlib.import_module(f"mlp_jax.{name}") for name in PACKAGES)]
    for module in modules:
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            room = getattr(thing, "__module__", "").split(".")
            if room[0] == "mlp_jax" and room[1:2] and room[1] in PACKAGES:
                yield thing


@pytest.mark.parametrize("folder", PACKAGES)
def test_docstrings_and_messages_are_plain(folder):
    found = [
        f"{path.relative_to(ROOT)}, {fault}"
        for path in sorted((ROOT / folder).rglob("*.py"))
        for fault in faults(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_the_modules_beside_the_packages_are_plain():
    found = [
        f"{path.name}, {fault}"
        for path in sorted(ROOT.glob("*.py"))
        for fault in faults(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_pages_are_plain():
    pages = [ROOT.parent / "README.md", *sorted((ROOT.parent / "docs").glob("*.md"))]
    found = [
        f"{page.name}: '{fault.group()}'"
        for page in pages
        for fault in AVOIDED.finditer(page.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_public_names_document_arguments_and_results():
    found = {
        thing.__name__: sections
        for thing in public_names()
        if (sections := missing_sections(thing))
    }
    assert found == {}


@pytest.mark.parametrize(
    "planted",
    [
        '"""What a layer is."""',
        'def f():\n    """Whether it ends."""',
        'class A:\n    """Those that end."""',
        'def f():\n    """Writes a file."""',
        'def f():\n    """Return it.\n\n    The rest hangs on x.\n    """',
        'raise ValueError(f"{name} is told too late")',
        'print("going on from epoch 3")',
    ],
)
def test_the_check_catches_a_planted_fault(planted):
    assert list(faults(planted))


def test_the_check_catches_a_missing_section():
    def bare(x: int) -> int:
        """Return x."""
        return x

    assert missing_sections(bare) == {"Args", "Returns"}
    assert missing_sections(mlp_jax.value_and_grad) == set()
