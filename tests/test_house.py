"""The house: imports run downward only, and what is heavy is imported only when used."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import mlp_jax

ROOT = Path(mlp_jax.__file__).parent
FLOORS = {
    "errors": 0,
    "files": 0,
    "codec": 0,
    "charts": 1,
    "backprop": 1,
    "data": 1,
    "proof": 2,
    "model": 2,
    "training": 3,
    "bench": 3,
    "estimators": 4,
    "reports": 4,
    "__init__": 4,
    "cli": 5,
    "__main__": 6,
}
TRAINING = {  # a place of mlp_jax/training imports from lower floors only
    "mesh": 0,
    "optim": 0,
    "compatibility": 0,
    "engine": 1,
    "presets": 1,
    "private": 2,
    "input": 2,
    "callbacks": 3,
    "compile": 3,
    "diagnostics": 3,
    "fit_options": 3,
    "checkpoint": 4,
    "loop": 4,
    "plan": 4,
    "network_engine": 5,
    "result": 5,
    "fit": 6,
    "many": 7,
    "run": 8,
    "__init__": 8,
    "sweep": 9,
}
FILES = sorted(ROOT.rglob("*.py"))
HEAVY = [
    "sklearn", "matplotlib", "tensorboardX", "polars", "tyro", "rich", "orbax", "onnx", "pandas",
    "torch", "scipy.stats", "safetensors", "pooch", "requests", "dp_accounting", "grain",
]  # fmt: skip


def room(parts):
    """The room of a module given by its parts below the package; the package itself: __init__."""
    return parts[0] if parts else "__init__"


def room_of(path):
    return room(path.relative_to(ROOT).with_suffix("").parts)


def imported_rooms(tree):
    """(line, room) of every import from this package, wherever in the file it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: an import relative to the file"
            names = [node.module or ""]
            if node.module == "mlp_jax":
                names = [f"mlp_jax.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            first, *rest = name.split(".")
            if first == "mlp_jax":
                yield node.lineno, room(rest) if room(rest) in FLOORS else "__init__"


def found_imports():
    return {
        path: list(imported_rooms(ast.parse(path.read_text(encoding="utf-8")))) for path in FILES
    }


def test_every_room_has_a_floor():
    assert {room_of(path) for path in FILES} <= set(FLOORS)


def test_imports_run_downward_only():
    upward = [
        f"{path.relative_to(ROOT)}:{line} imports {target}"
        for path, targets in found_imports().items()
        for line, target in targets
        if FLOORS[target] > FLOORS[room_of(path)]
    ]
    assert upward == []


def test_no_two_rooms_import_each_other():
    pairs = {
        (room_of(path), target)
        for path, targets in found_imports().items()
        for _, target in targets
        if target != room_of(path)
    }
    assert {pair for pair in pairs if pair[::-1] in pairs} == set()


def training_imports():
    """(place, place that it imports, file) of every import inside mlp_jax/training."""
    folder = ROOT / "training"
    for path in sorted(folder.rglob("*.py")):
        own = path.relative_to(folder).with_suffix("").parts[0]
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.ImportFrom) or not node.module:
                continue
            above, _, rest = node.module.partition("mlp_jax.training")
            if above or (rest and not rest.startswith(".")):
                continue
            places = [rest.split(".")[1]] if rest else [alias.name for alias in node.names]
            for place in places:
                place = place if place in TRAINING else "__init__"
                if place != own:
                    yield own, place, path.relative_to(ROOT)


def test_every_place_of_training_has_a_floor():
    folder = ROOT / "training"
    assert {p.relative_to(folder).with_suffix("").parts[0] for p in folder.rglob("*.py")} == set(
        TRAINING
    )
    assert len(TRAINING) <= 22
    assert len(set(TRAINING.values())) <= 10


def test_imports_inside_training_run_to_lower_floors_only():
    found = list(training_imports())
    assert len({(own, place) for own, place, _ in found}) <= 90
    assert [f"{path} imports {place}" for own, place, path in found
            if TRAINING[place] >= TRAINING[own]] == []  # fmt: skip


@pytest.mark.parametrize(
    ("line", "rooms"),
    [
        ("from mlp_jax.proof.check import check_gradients", ["proof"]),
        ("import mlp_jax.cli.main", ["cli"]),
        ("from mlp_jax import training", ["training"]),
        ("from mlp_jax import Dense", ["__init__"]),
        ("import mlp_jax", ["__init__"]),
        ("def f():\n    from mlp_jax.bench import run", ["bench"]),
        ("import jax, numpy", []),
    ],
)
def test_the_reader_of_imports_sees_each_kind(line, rooms):
    assert [target for _, target in imported_rooms(ast.parse(line))] == rooms


def test_the_mathematics_imports_jax_and_numpy_and_nothing_else():
    allowed = {"jax", "numpy", "jaxtyping", "mlp_jax", *sys.stdlib_module_names}
    for path in (ROOT / "backprop").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            assert {name.split(".")[0] for name in names} <= allowed, path


def test_nobody_uses_a_private_name_of_jax():
    for path in FILES:
        assert "jax._src" not in path.read_text(encoding="utf-8"), path


def test_importing_the_package_imports_nothing_heavy():
    """In a process of its own, for this one has imported everything already."""
    code = f"import sys, mlp_jax; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_class_name_occurs_twice_in_the_package():
    places: dict[str, list[str]] = {}
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_everything_that_the_package_names_is_there():
    assert [name for name in mlp_jax.__all__ if not hasattr(mlp_jax, name)] == []


MOST_PARAMETERS = 10
COMPILED_PASSES = (
    "forward_backward", "_gauss_newton_product", "_diagonal", "_with_drawn", "split_gradient",
)  # fmt: skip
"""Functions of the mathematics with one parameter more."""


def trees():
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}


def test_no_function_has_more_than_ten_parameters_but_scikit_learns():
    found = [
        f"{path.relative_to(ROOT)}: {node.name}"
        for path, tree in trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and len({arg.arg for arg in (*node.args.args, *node.args.kwonlyargs)} - {"self", "cls"})
        > MOST_PARAMETERS
        and not (room_of(path) == "estimators" and node.name == "__init__")
        and node.name not in COMPILED_PASSES
    ]
    assert found == []


def records(tree):
    """Names of the records of more than four fields, with their number."""
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        fields = [child for child in node.body if isinstance(child, ast.AnnAssign)]
        named = any(isinstance(base, ast.Name) and base.id == "NamedTuple" for base in node.bases)
        frozen = any("dataclass" in ast.dump(decorator) for decorator in node.decorator_list)
        if (named or frozen) and len(fields) > 4:
            yield node.name, len(fields)


def by_position(tree, known):
    """Lines that build a record of `known` with several values by their position."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in known:
            plain = not any(isinstance(value, ast.Starred) for value in node.args)
            if plain and len(node.args) > 1:
                yield node.lineno


def test_records_of_more_than_four_fields_are_built_by_keyword():
    every = trees()
    known = {name for tree in every.values() for name, _ in records(tree)}
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path, tree in every.items()
        if "faults" not in path.parts  # a table of faults, a line each
        for line in by_position(tree, known)
    ]
    assert found == []


def test_a_planted_record_by_position_is_found():
    tree = ast.parse("class A(NamedTuple):\n a: int\n b: int\n c: int\n d: int\n e: int\nA(1, 2)")
    assert dict(records(tree)) == {"A": 5}
    assert list(by_position(tree, {"A"})) == [7]
