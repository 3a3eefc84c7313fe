import gzip
import hashlib
import io
import tarfile

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import _california_housing, _covtype

from mlp_jax.data import load
from mlp_jax.data.sources import fetched
from mlp_jax.errors import DataFileError

# Longitude, latitude, age, rooms, bedrooms, population, households, income, value.
HOUSES = b"-122.0,37.5,41.0,800.0,200.0,300.0,100.0,8.5,450000.0\n-121.0,38.0,20.0,900.0,90.0,"
HOUSES += b"600.0,300.0,2.5,80000.0\n"
RNG = np.random.default_rng(0)
FOREST = np.concatenate(
    [
        RNG.integers(2, 3000, (5, 10)),
        RNG.integers(0, 2, (5, 44)),
        np.array([[7], [1], [2], [5], [3]]),
    ],
    axis=1,
)


@pytest.fixture
def houses(monkeypatch, server):
    body = io.BytesIO()
    with tarfile.open(fileobj=body, mode="w:gz") as archive:
        member = tarfile.TarInfo("CaliforniaHousing/cal_housing.data")
        member.size = len(HOUSES)
        archive.addfile(member, io.BytesIO(HOUSES))
    content = body.getvalue()
    archive = _california_housing.ARCHIVE._replace(
        url=server.serve("/houses", content), checksum=hashlib.sha256(content).hexdigest()
    )
    monkeypatch.setattr(_california_housing, "ARCHIVE", archive)
    spec = fetched.FETCHED_TABLES["california_housing"]
    monkeypatch.setitem(fetched.FETCHED_TABLES, "california_housing", spec._replace(rows=2))
    return content


@pytest.fixture
def forest(monkeypatch, server):
    lines = "\n".join(",".join(map(str, row)) for row in FOREST)
    content = gzip.compress(lines.encode())
    checksum = hashlib.sha256(content).hexdigest()
    archive = _covtype.ARCHIVE._replace(url=server.serve("/forest", content), checksum=checksum)
    monkeypatch.setattr(_covtype, "ARCHIVE", archive)
    monkeypatch.setattr(fetched, "_COVTYPE_SHA256", f"sha256:{checksum}")
    spec = fetched.FETCHED_TABLES["covtype"]
    monkeypatch.setitem(fetched.FETCHED_TABLES, "covtype", spec._replace(rows=5))
    return content


def offline(monkeypatch, module, nobody):
    monkeypatch.setattr(module, "ARCHIVE", module.ARCHIVE._replace(url=f"{nobody}/x"))


def check_houses(table):
    assert (table.targets, table.task) == (("MedHouseVal",), "regression")
    first = table.frame.row(0, named=True)
    assert first["MedInc"] == 8.5
    assert first["AveRooms"] == 8.0
    assert first["AveBedrms"] == 2.0
    assert first["AveOccup"] == 3.0
    assert table.frame["MedHouseVal"].to_list() == [4.5, 0.8]


def check_forest(table):
    assert (table.targets, table.task) == (("Cover_Type",), "classification")
    assert table.frame["Cover_Type"].to_list() == [
        "Krummholz", "Spruce/Fir", "Lodgepole Pine", "Aspen", "Ponderosa Pine",
    ]  # fmt: skip
    assert table.frame.columns[:-1] == _covtype.FEATURE_NAMES
    np.testing.assert_array_equal(table.frame.drop("Cover_Type").to_numpy(), FOREST[:, :-1])


def test_the_houses_are_fetched_once_and_kept_without_a_pickle(houses, server, tmp_path):
    for _ in range(2):
        check_houses(load("california_housing", data_dir=tmp_path))
    assert len(server.requests) == 1
    names = sorted(path.name for path in (tmp_path / "california_housing").iterdir())
    assert names == ["california_housing.parquet", "checksums.json"]


def test_the_forest_is_fetched_once_and_kept_without_a_pickle(forest, server, tmp_path):
    for _ in range(2):
        check_forest(load("covtype", data_dir=tmp_path))
    assert len(server.requests) == 1
    names = sorted(path.name for path in (tmp_path / "covtype").iterdir())
    assert names == ["checksums.json", "covtype.parquet"]


def test_an_archive_put_there_by_hand_is_read(
    houses, forest, monkeypatch, nobody, server, tmp_path
):
    for module in (_california_housing, _covtype):
        offline(monkeypatch, module, nobody)
    for folder, name, content in (
        ("california_housing", "cal_housing.tgz", houses),
        ("covtype", "covtype.data.gz", forest),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_bytes(content)
    check_houses(load("california_housing", data_dir=tmp_path))
    check_forest(load("covtype", data_dir=tmp_path))
    assert server.requests == []
    (tmp_path / "covtype" / "covtype.parquet").unlink()
    (tmp_path / "covtype" / "covtype.data.gz").write_bytes(forest[:-3])
    with pytest.raises(DataFileError, match="not the published file"):
        load("covtype", data_dir=tmp_path)


def test_a_wrong_checksum_is_refused(houses, forest, server, tmp_path):
    server.serve("/houses", b"something else")
    server.serve("/forest", b"something else")
    for name in ("california_housing", "covtype"):
        with pytest.raises(DataFileError, match="differs from expected"):
            load(name, data_dir=tmp_path)
        assert not list((tmp_path / name).iterdir())


@pytest.mark.parametrize(
    ("name", "module", "file"),
    [
        ("california_housing", _california_housing, "cal_housing.tgz"),
        ("covtype", _covtype, "covtype.data.gz"),
    ],
)
def test_without_a_network_the_message_says_which_file_to_put_where(
    monkeypatch, nobody, tmp_path, name, module, file
):
    offline(monkeypatch, module, nobody)
    with pytest.raises(DataFileError) as caught:
        load(name, data_dir=tmp_path)
    assert str(caught.value) == (
        f"'{name}' is not on this machine, and could not be fetched (no connection):"
        f" put {file} into '{tmp_path}/{name}'."
    )


def test_a_server_that_says_nothing_is_given_up(houses, server, answer, monkeypatch, tmp_path):
    monkeypatch.setattr(fetched, "SECONDS", 0.2)
    server.serve("/houses", answer(b"slow", pause=1.0))
    with pytest.raises(DataFileError, match="timed out"):
        load("california_housing", data_dir=tmp_path)


def test_what_changed_since_is_not_used(houses, tmp_path):
    load("california_housing", data_dir=tmp_path)
    kept = tmp_path / "california_housing" / "california_housing.parquet"
    pl.DataFrame({"a": [1]}).write_parquet(kept)
    with pytest.raises(DataFileError, match="has changed since it was first used"):
        load("california_housing", data_dir=tmp_path)
    kept.unlink()
    check_houses(load("california_housing", data_dir=tmp_path))
