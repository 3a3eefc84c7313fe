"""Another path to a folder whose own has letters that Orbax and TensorStore take for a pattern.

They read [ ] as a range of names and a backslash as a separator, and want UTF-8: what was saved
under such a path is not found again. A symbolic link has a plain name.
"""

import contextlib
import re
import tempfile
from pathlib import Path

_PLAIN = re.compile(r"[\w/.,=+@~%# -]*", re.ASCII)


class PlainPath:
    """The path by which to reach `folder`: itself where its letters are plain, else a link to it.

    The link lies in a temporary folder, which `close` removes; the folder itself stays.
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
        """Removes the link."""
        if self._temporary is not None:
            self._temporary.cleanup()
