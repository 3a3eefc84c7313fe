import ast
import subprocess
import sys
from pathlib import Path

import mlp_jax.data.streams

ROOM = Path(mlp_jax.data.streams.__file__).parent


def test_the_room_is_entered_without_grain():
    """Grain takes a second, and looks for JAX: it is imported where an epoch begins."""
    code = "import sys, mlp_jax.data.streams; print('grain' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_no_file_of_the_room_imports_jax():
    for path in ROOM.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            assert "jax" not in {name.split(".")[0] for name in names}, path
