"""The bundled 1797 handwritten digits of 8 × 8 pixels.

Source: Alpaydin & Kaynak, "Optical recognition of handwritten digits", UCI, 1998 (the test part),
as in scikit-learn's load_digits; written by scripts/make_digits.py.
"""

from pathlib import Path

import numpy as np

from mlp_jax.data.arrays import from_arrays
from mlp_jax.data.dataset import Dataset


def load_digits() -> Dataset:
    """Load the bundled handwritten digits.

    Returns:
        x uint8 (1797, 64) from 0 to 16, ten classes, no test rows.
    """
    with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as archive:
        images, labels = archive["x"].reshape(-1, 8, 8), archive["y"]
    return from_arrays("digits", images, labels, task="classification")
