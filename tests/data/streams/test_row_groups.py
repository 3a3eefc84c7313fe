import numpy as np
import polars as pl
import pytest

from mlp_jax.data.streams.row_groups import row_groups
from mlp_jax.errors import DataFileError


@pytest.mark.parametrize("size", [7, 64, 100, 1000])
@pytest.mark.parametrize("compression", ["zstd", "snappy", "uncompressed"])
def test_the_row_groups_are_as_they_were_written(tmp_path, size, compression):
    path = tmp_path / "t.parquet"
    frame = pl.DataFrame(
        {
            "x": np.arange(300.0),
            "word": ["a", None, "c"] * 100,
            "flag": [True, False, None] * 100,
            "list": [[1, 2], [], None] * 100,
        }
    )
    frame.write_parquet(
        path, row_group_size=size, compression=compression, metadata={"k": "v" * 99}
    )
    groups = row_groups(path)
    assert sum(groups) == 300
    assert max(groups) <= size
    # The writer makes as few groups as the size allows.
    assert len(groups) == -(-300 // size)


def test_damaged_metadata_are_refused(tmp_path):
    path = tmp_path / "t.parquet"
    pl.DataFrame({"x": np.arange(300.0)}).write_parquet(path, row_group_size=10)
    whole = path.read_bytes()
    length = int.from_bytes(whole[-8:-4], "little")
    path.write_bytes(whole[: -8 - length] + b"\xff" * length + whole[-8:])
    with pytest.raises(DataFileError, match="metadata cannot be read"):
        row_groups(path)
    path.write_bytes(whole[:-8] + b"\xff\xff\xff\x7fPAR1")
    with pytest.raises(DataFileError, match="metadata are cut off"):
        row_groups(path)
