"""Where data sets lie on this machine: one folder of the user's, laid out as torchvision does."""

import os
from pathlib import Path

DATA_VARIABLE = "MLP_JAX_DATA"


def data_folder(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """`data_dir`, else what MLP_JAX_DATA names, else the user's data directory for mlp-jax."""
    named = data_dir or os.environ.get(DATA_VARIABLE)
    if named:
        return Path(named).expanduser()
    import platformdirs

    return platformdirs.user_data_path("mlp-jax", appauthor=False)
