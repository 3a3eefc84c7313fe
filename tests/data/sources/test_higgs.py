import gzip
import hashlib
from dataclasses import replace

import numpy as np
import pytest

from mlp_jax.data import load
from mlp_jax.data.sources import higgs, published
from mlp_jax.errors import DataFileError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 28))
Y = RNG.integers(0, 2, 40)


@pytest.fixture
def small(monkeypatch, server):
    """Forty rows as UCI writes them; the last eleven to test on; read in small pieces."""
    lines = (",".join(f"{v:.18e}" for v in (y, *x)) for y, x in zip(Y, X, strict=True))
    content = gzip.compress(("\n".join(lines) + "\n").encode())
    file = replace(
        published.HIGGS,
        urls=(server.serve("/HIGGS.csv.gz", content),),
        checksum="sha256:" + hashlib.sha256(content).hexdigest(),
    )
    monkeypatch.setattr(published, "HIGGS", file)
    monkeypatch.setattr(higgs, "N_TEST", 11)
    monkeypatch.setattr(higgs, "_CHUNK", 1000)


def test_the_last_rows_are_for_testing(small, server, tmp_path):
    for _ in range(2):
        dataset = load("higgs", data_dir=tmp_path)
        assert dataset.test is not None
        assert dataset.classes == ("background", "signal")
        assert len(set(dataset.feature_names)) == 28
        for part, rows in ((dataset.train, slice(29)), (dataset.test, slice(29, 40))):
            assert part.x.dtype == np.float32
            np.testing.assert_array_equal(part.x, X[rows].astype(np.float32))
            assert part.y.tolist() == Y[rows].tolist()
    assert len(server.requests) == 1


def test_a_table_that_is_not_that_of_higgs_is_refused(small, server, monkeypatch, tmp_path):
    content = gzip.compress(b"1,2,3\n0,1,2\n")
    checksum = "sha256:" + hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(published, "HIGGS", replace(published.HIGGS, checksum=checksum))
    server.serve("/HIGGS.csv.gz", content)
    with pytest.raises(DataFileError, match=r"HIGGS\.csv\.gz' "):
        load("higgs", data_dir=tmp_path)


def test_without_a_network_the_message_says_which_file_to_put_where(
    small, nobody, monkeypatch, tmp_path
):
    monkeypatch.setattr(published, "HIGGS", replace(published.HIGGS, urls=(f"{nobody}/x",)))
    with pytest.raises(DataFileError, match=rf"HIGGS\.csv\.gz .*: put it into '{tmp_path}/HIGGS'"):
        load("higgs", data_dir=tmp_path)
