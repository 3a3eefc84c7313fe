"""Pictures of inputs as PNG bytes."""

import io

import numpy as np


def png(pixels: np.ndarray) -> bytes:
    """Encode (H, W), (H, W, 3) or (H, W, 4) of uint8 as a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def input_picture(
    row: np.ndarray, image_shape: tuple[int, ...], low: float, high: float
) -> np.ndarray:
    """Return a row of I values as grey or colours of uint8, black at `low` and white at `high`."""
    values = (np.asarray(row, np.float64) - low) / ((high - low) or 1.0)
    pixels = np.round(255 * np.clip(values, 0, 1)).astype(np.uint8).reshape(image_shape)
    return pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels
