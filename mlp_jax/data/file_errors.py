"""DataFileError for data files that are missing, unreadable, or damaged gzip files."""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlp_jax.errors import DataFileError, MlpJaxError

GZIP_MAGIC = b"\x1f\x8b"
GZIP_DAMAGE = (gzip.BadGzipFile, EOFError, zlib.error)


@contextmanager
def data_file_errors(path: Path) -> Iterator[None]:
    """Turn errors from reading a file inside the block into a DataFileError."""
    try:
        yield
    except MlpJaxError:
        raise
    except FileNotFoundError:
        raise DataFileError(f"There is no file '{path}'.") from None
    except GZIP_DAMAGE as error:
        raise DataFileError(f"'{path}' is a damaged or truncated gzip file: {error}.") from None
    except OSError as error:
        raise DataFileError(f"'{path}' cannot be read: {error.strerror}.") from None
