"""The catalog as a table for people."""

import os
from io import StringIO
from typing import TYPE_CHECKING

from mlp_jax.data.bounds import as_size
from mlp_jax.data.sources.catalog import ENTRIES, Entry
from mlp_jax.data.sources.places import data_folder

if TYPE_CHECKING:
    from rich.table import Table

_FORMS = (
    ("idx:FOLDER", "a folder of IDX files named like MNIST's; FOLDER alone works, too"),
    ("FILE", ".csv .csv.gz .tsv .parquet .npy .npz, with --target COLUMN for a table"),
    ("https://…/FILE", "any of these files, downloaded once"),
    ("openml:NAME", "a table from openml.org; openml:ID by number"),
    ("hf:NAME", "a table from the Hugging Face Hub; needs pip install 'mlp-jax[hub]'"),
)


def list_datasets(data_dir: str | os.PathLike[str] | None, width: int, color: bool) -> str:
    """List the data sets, in lines of at most `width` characters.

    A set counts as present if its files exist; they are checked when used.
    """
    from rich.console import Console

    root = data_folder(data_dir)
    text = StringIO()
    console = Console(
        file=text, width=width, force_terminal=color, no_color=not color, highlight=False
    )
    console.print(_named(data_dir, narrow=width < 94))
    console.print()
    console.print(_forms())
    console.print()
    console.print(f"Downloads go to {root}", soft_wrap=True, markup=False)
    console.print(
        "To change the folder, use --data-dir FOLDER or MLP_JAX_DATA; the layout is torchvision's."
    )
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _named(data_dir: str | os.PathLike[str] | None, *, narrow: bool) -> "Table":
    """Return the table in 80 columns if the terminal is narrow."""
    from rich import box
    from rich.table import Table

    root = data_folder(data_dir)
    space = 0 if narrow else 1
    table = Table(box=box.SIMPLE_HEAD, padding=(0, space, 0, 0), show_edge=False, pad_edge=False)
    table.add_column("name", style="bold", no_wrap=True)
    for heading in ("rows", "test" if narrow else "test rows", "features", "classes", "size"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("licence")
    table.add_column("here", no_wrap=True)
    section = False
    for entry in ENTRIES.values():
        if (entry.n_bytes > 0) != section:
            table.add_section()
            section = True
        table.add_row(*_cells(entry), _state(entry, entry.is_here(root), narrow))
    return table


def _cells(entry: Entry) -> tuple[str, ...]:
    rows, test_rows = entry.rows
    return (
        entry.name,
        f"{rows:,}",
        f"{test_rows:,}" if test_rows else "–",
        f"{entry.n_features:,}",
        str(entry.n_classes) if entry.n_classes else "number",
        as_size(entry.n_bytes) if entry.n_bytes else "–",
        entry.licence,
    )


def _state(entry: Entry, is_here: bool, narrow: bool) -> str:
    if not is_here:
        return "[dim]no[/dim]"
    return f"[green]{'yes' if entry.n_bytes or narrow else entry.obtained}[/green]"


def _forms() -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for form, meaning in _FORMS:
        table.add_row(Text(form), Text(meaning))
    return table
