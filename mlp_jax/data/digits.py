"""The 1797 handwritten digits of 8 × 8 pixels that travel with the package.

Source: Alpaydin & Kaynak, "Optical recognition of handwritten digits", UCI, 1998 (the test part),
as scikit-learn's load_digits gives it; scripts/make_digits.py wrote the file.
"""

from pathlib import Path

import numpy as np

from mlp_jax.data.arrays import from_arrays
from mlp_jax.data.dataset import Dataset


def load_digits() -> Dataset:
    """The digits: x uint8 (1797, 64) from 0 to 16, ten classes, no test rows."""
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as archive:
        images, labels = archive["x"].reshape(-1, 8, 8), archive["y"]
    return from_arrays("digits", images, labels, task="classification")
