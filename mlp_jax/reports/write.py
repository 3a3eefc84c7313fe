"""Write the report of a run: read the folder, gather the evidence, make the page."""

from datetime import datetime
from pathlib import Path

from mlp_jax.errors import RunFolderError
from mlp_jax.files import as_run_folder_error, write_text_atomic
from mlp_jax.reports.folder import read_run
from mlp_jax.reports.gather import gather
from mlp_jax.reports.page import page

DEFAULT = Path("report", "report.html")


def write_report(
    folder: Path, output: Path | None = None, data: str | None = None
) -> tuple[Path, tuple[str, ...]]:
    """Write the page; return its path and sentences about what could not be shown.

    RunFolderError for a folder without a run, and if the page cannot be written.
    """
    run = read_run(folder)
    path = folder / DEFAULT if output is None else output
    if output is not None and not path.parent.is_dir():
        raise RunFolderError(f"Cannot write {path}: there is no folder {path.parent}.")
    if path.is_dir():
        raise RunFolderError(f"Cannot write {path}: it is a folder; name a file, such as run.html.")
    evidence = gather(run, data)
    text = page(run, evidence, datetime.now().astimezone())
    with as_run_folder_error("make the folder", path.parent):
        path.parent.mkdir(exist_ok=True)
    write_text_atomic(path, text)
    return path, evidence.missing
