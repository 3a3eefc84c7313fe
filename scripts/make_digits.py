"""Write mlp_jax/data/digits.npz from scikit-learn's copy of the UCI digits.

python scripts/make_digits.py
"""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits


def main() -> None:
    x, y = load_digits(return_X_y=True)
    pixels, labels = x.astype(np.uint8), y.astype(np.uint8)
    assert np.array_equal(pixels, x)
    assert np.array_equal(labels, y)
    path = Path(__file__).parents[1] / "mlp_jax" / "data" / "digits.npz"
    np.savez_compressed(path, x=pixels, y=labels)
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
