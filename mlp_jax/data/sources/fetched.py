"""california_housing and covtype, which scikit-learn's fetchers bring.

The fetchers keep what they brought as pickles, which are never loaded here: they work in a folder
that is thrown away, and the table is kept as Parquet, with its checksum beside it.
"""

import os
import shutil
import socket
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.error import HTTPError, URLError

from mlp_jax.data.sources.checksums import check_recorded, checksum_of, forget
from mlp_jax.data.sources.places import data_folder
from mlp_jax.data.table import Kind, Table
from mlp_jax.errors import DataFileError

if TYPE_CHECKING:
    import polars as pl

SECONDS = 30.0
_COVER_TYPES = (
    "Spruce/Fir",
    "Lodgepole Pine",
    "Ponderosa Pine",
    "Cottonwood/Willow",
    "Aspen",
    "Douglas-fir",
    "Krummholz",
)
_COVTYPE_SHA256 = "sha256:614360d0257557dd1792834a85a1cdebfadc3c4f30b011d56afee7ffb5b15771"


class FetchedTable(NamedTuple):
    """Source of a table: fetch(folder to work in, archive put there by hand or None).

    archive: the published file, which may be put into the set's folder by hand.
    """

    fetch: Callable[[Path, Path | None], "pl.DataFrame"]
    archive: str
    target: str
    task: str
    rows: int


def load_fetched(name: str, data_dir: str | os.PathLike[str] | None = None) -> Table:
    """A table of FETCHED_TABLES, from the data folder or else from scikit-learn's fetcher.

    Raises DataFileError that says which file to put where.
    """
    import polars as pl

    spec = FETCHED_TABLES[name]
    folder = data_folder(data_dir) / name
    kept = folder / f"{name}.parquet"
    if not kept.is_file():
        _bring(name, spec, folder, kept)
    check_recorded(kept, checksum_of(kept))
    try:
        frame = pl.read_parquet(kept)
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise DataFileError(f"'{kept}' cannot be read ({reason}): delete it.") from None
    numeric: dict[str, Kind] = {
        column: "numeric" for column in frame.columns if column != spec.target
    }
    return Table(name=name, frame=frame, targets=(spec.target,), kinds=numeric, task=spec.task)


def find_fetched(name: str, root: Path) -> bool:
    """Return True if the table or its archive is in the data folder; unchecked."""
    files = (f"{name}.parquet", FETCHED_TABLES[name].archive)
    return any((root / name / file).is_file() for file in files)


def _bring(name: str, spec: FetchedTable, folder: Path, kept: Path) -> None:
    """Fetch the table and keep it."""
    archive = folder / spec.archive
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=folder) as scratch:
            with quiet_and_timed():
                frame = spec.fetch(Path(scratch), archive if archive.is_file() else None)
            if frame.height != spec.rows:
                raise DataFileError(f"'{name}' has {frame.height} rows, not {spec.rows}.")
            frame.write_parquet(Path(scratch) / kept.name)
            forget(kept)
            (Path(scratch) / kept.name).replace(kept)
    except DataFileError:
        raise
    except (OSError, ValueError) as error:
        raise DataFileError(
            f"'{name}' is not on this machine, and could not be fetched ({phrase(error)}):"
            f" put {spec.archive} into '{folder}'."
        ) from None


@contextmanager
def quiet_and_timed() -> Iterator[None]:
    """scikit-learn's fetchers without their warnings, and with a limit on every wait."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(SECONDS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        socket.setdefaulttimeout(before)


def phrase(error: Exception) -> str:
    """Return the reason of an error, for use in brackets."""
    if isinstance(error, HTTPError):
        error.close()
        return f"{error.code} {error.reason}"
    if isinstance(error, TimeoutError) or "timed out" in str(error):
        return "timed out"
    if isinstance(error, URLError):
        return "no connection"
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


def _fetch_california(scratch: Path, archive: Path | None) -> "pl.DataFrame":
    import polars as pl
    from sklearn.datasets import fetch_california_housing

    if archive is not None:
        shutil.copy(archive, scratch)
    bunch = fetch_california_housing(data_home=scratch, n_retries=1, delay=0.5)
    columns = {name: bunch.data[:, i] for i, name in enumerate(bunch.feature_names)}
    return pl.DataFrame(columns | {"MedHouseVal": bunch.target})


def _fetch_covtype(scratch: Path, archive: Path | None) -> "pl.DataFrame":
    """The fetcher takes no file put there by hand: that one is read here, checked by its sha256."""
    import polars as pl
    from sklearn.datasets import fetch_covtype

    if archive is None:
        bunch = fetch_covtype(data_home=scratch, n_retries=1, delay=0.5)
        names, columns, target = list(bunch.feature_names), bunch.data.T, bunch.target
    else:
        if checksum_of(archive) != _COVTYPE_SHA256:
            raise DataFileError(f"'{archive}' is not the published file: its checksum differs.")
        read = pl.read_csv(archive, has_header=False)
        columns, target = read.to_numpy()[:, :-1].T, read.to_series(-1).to_numpy()
        names = _covtype_names()
    features = {
        name: column.astype("int16" if column.max() > 1 else "uint8")
        for name, column in zip(names, columns, strict=True)
    }
    return pl.DataFrame(features | {"Cover_Type": [_COVER_TYPES[int(k) - 1] for k in target]})


def _covtype_names() -> list[str]:
    measured = (
        *("Elevation", "Aspect", "Slope"),
        *(f"{way}_Distance_To_Hydrology" for way in ("Horizontal", "Vertical")),
        "Horizontal_Distance_To_Roadways",
        *(f"Hillshade_{time}" for time in ("9am", "Noon", "3pm")),
        "Horizontal_Distance_To_Fire_Points",
    )
    areas, soils = (f"Wilderness_Area_{i}" for i in range(4)), (f"Soil_Type_{i}" for i in range(40))
    return [*measured, *areas, *soils]


FETCHED_TABLES = {
    "california_housing": FetchedTable(
        fetch=_fetch_california,
        archive="cal_housing.tgz",
        target="MedHouseVal",
        task="regression",
        rows=20640,
    ),
    "covtype": FetchedTable(
        fetch=_fetch_covtype,
        archive="covtype.data.gz",
        target="Cover_Type",
        task="classification",
        rows=581012,
    ),
}
