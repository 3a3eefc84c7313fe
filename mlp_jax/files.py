"""Files that are either whole or absent, whatever kills the process: JSON, JSON lines, bytes."""

import json
import math
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlp_jax.errors import MlpJaxError, RunFolderError


def user_path(name: str | os.PathLike[str]) -> Path:
    """The path that a user names: as it stands where there is such a file or folder.

    Else with a leading ~ or ~user as the home directory, where there is one.
    """
    path = Path(name)
    if path.exists():
        return path
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def write_bytes_atomic(path: str | os.PathLike[str], data: bytes) -> None:
    """Write a file that is either whole or as it was before. Raises RunFolderError."""
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    with as_run_folder_error("write", path):
        try:
            with unfinished.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)


def write_text_atomic(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text as `write_bytes_atomic` does.

    Bytes of a path that were no UTF-8 go out as they came in.
    """
    write_bytes_atomic(path, text.encode("utf-8", "surrogateescape"))


# In Python's text they are U+DC80 … U+DCFF, which UTF-8 has not; here the end of its private use.
_BYTES = {0xDC00 + byte: 0x10FF00 + byte for byte in range(0x80, 0x100)}
_BACK = {there: here for here, there in _BYTES.items()}


def as_unicode(text: str) -> str:
    """Text that any UTF-8 file can hold, in which bytes of a path that were none are letters."""
    return text.translate(_BYTES)


def as_path_text(text: str) -> str:
    """The text that `as_unicode` was given."""
    return text.translate(_BACK)


def write_json_atomic(path: str | os.PathLike[str], value: object) -> None:
    """Write indented JSON as `write_bytes_atomic` does; arrays become lists, NaN and ∞ null."""
    text = json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n"
    write_bytes_atomic(path, json_bytes(text))


def json_bytes(text: str) -> bytes:
    """JSON as UTF-8; what is left of bytes that are none, in a path, as JSON's own escapes."""
    return text.encode("utf-8", "backslashreplace")


def jsonl(record: Mapping[str, object]) -> str:
    """A record as a line: keys sorted, floats with every digit, NaN and ∞ null."""
    return json.dumps(plain(record), sort_keys=True, ensure_ascii=False) + "\n"


def read_jsonl(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """The records of a file of JSON lines; [] if there is none; a torn last line is left out.

    Raises RunFolderError for a line before the last that is not JSON.
    """
    return [record for _, record in read_lines(Path(path))]


def cut_back(path: str | os.PathLike[str], key: str, last: float) -> None:
    """Keep the lines up to the first whose record has record[key] > last, byte for byte.

    A resumed run does this with the checkpoint's epoch or step. Raises RunFolderError.
    """
    path = Path(path)
    kept = []
    for line, record in read_lines(path):
        if record.get(key, last) > last:
            break
        kept.append(line + b"\n")
    if path.exists():
        write_bytes_atomic(path, b"".join(kept))


@contextmanager
def as_run_folder_error(verb: str, path: Path) -> Iterator[None]:
    """Turn an OSError of the block into a RunFolderError that says what failed.

    One of ours, which says so already, passes.
    """
    try:
        yield
    except MlpJaxError:
        raise
    except OSError as error:
        reason = error.strerror or str(error)
        raise RunFolderError(f"Could not {verb} {path}: {reason}.") from error


def plain(value: Any) -> Any:
    """Return a value that json can write: NumPy and JAX values as Python's, NaN and ∞ as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def read_lines(path: Path) -> list[tuple[bytes, dict[str, Any]]]:
    """Every whole line and its record. The last counts when it is JSON, with its \\n or without."""
    if not path.exists():
        return []
    with as_run_folder_error("read", path):
        lines = path.read_bytes().removesuffix(b"\n").split(b"\n")
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except ValueError:
            record = None
        if isinstance(record, dict):
            records.append((line, record))
        elif number < len(lines):
            raise RunFolderError(f"Line {number} of {path} is not a JSON object.")
    return records
