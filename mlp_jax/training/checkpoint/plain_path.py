"""Alias of a folder whose path has characters that Orbax and TensorStore misread.

They read [ ] as a glob pattern and a backslash as a separator, and require UTF-8. A symbolic link
gives such a folder a plain path.
"""

import contextlib
import re
import tempfile
from pathlib import Path

_PLAIN = re.compile(r"[\w/.,=+@~%# -]*", re.ASCII)


class PlainPath:
    """Path that Orbax can read: the folder itself, or a symbolic link to it.

    The link lies in a temporary folder, which `close` removes.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder.absolute()
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if _PLAIN.fullmatch(str(self.path)):
            return
        with contextlib.suppress(OSError):  # no links, or no temporary folder: try it as it is
            temporary = tempfile.TemporaryDirectory(prefix="mlp-jax-")
            self._temporary = temporary
            link = Path(temporary.name) / "folder"
            link.symlink_to(self.path, target_is_directory=True)
            self.path = link

    def close(self) -> None:
        """Remove the link."""
        if self._temporary is not None:
            self._temporary.cleanup()
