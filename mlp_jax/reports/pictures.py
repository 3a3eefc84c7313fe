"""Pictures as PNG bytes: weights in two colours on a transparent ground, inputs unchanged."""

import io
import math

import numpy as np

POSITIVE, NEGATIVE = (209, 101, 31), (47, 111, 176)
_ROBUST = 0.995  # the quantile of the sizes that gets the full colour
_GAP = 1


def png(pixels: np.ndarray) -> bytes:
    """Encode (H, W), (H, W, 3) or (H, W, 4) of uint8 as a PNG file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def weight_mosaic(W: np.ndarray, image_shape: tuple[int, ...], most: int) -> np.ndarray:
    """Return the `most` units of largest norm, W (I, J), as tiles (H, W, 4), the largest first.

    One channel: orange above 0 and blue below, the more opaque the larger, transparent at 0. Three
    channels: the weights as colours around grey.
    """
    weights = np.nan_to_num(np.asarray(W, np.float64))
    order = np.argsort(-np.linalg.norm(weights, axis=0), kind="stable")[:most]
    shown = weights[:, order].T.reshape(-1, *image_shape)
    limit = float(np.quantile(np.abs(shown), _ROBUST)) or float(np.abs(shown).max()) or 1.0
    scaled = np.clip(shown / limit, -1, 1)
    if scaled.ndim == 4 and scaled.shape[-1] == 3:
        colors = np.round(127.5 * (1 + scaled)).astype(np.uint8)
        tiles = np.concatenate([colors, np.full((*colors.shape[:-1], 1), 255, np.uint8)], axis=-1)
    else:
        scaled = scaled.reshape(len(scaled), *image_shape[:2], -1).mean(axis=-1)
        tiles = np.zeros((*scaled.shape, 4), np.uint8)
        tiles[..., :3] = np.where(scaled[..., None] > 0, POSITIVE, NEGATIVE)
        tiles[..., 3] = np.round(255 * np.abs(scaled))
    return _mosaic(tiles)


def input_picture(
    row: np.ndarray, image_shape: tuple[int, ...], low: float, high: float
) -> np.ndarray:
    """Return a row of I values as grey or colours of uint8, black at `low` and white at `high`."""
    values = (np.asarray(row, np.float64) - low) / ((high - low) or 1.0)
    pixels = np.round(255 * np.clip(values, 0, 1)).astype(np.uint8).reshape(image_shape)
    return pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels


def _mosaic(tiles: np.ndarray) -> np.ndarray:
    """Arrange tiles (J, H, W, 4) in a grid about half as high as wide, transparent between."""
    n, height, width, _ = tiles.shape
    columns = max(1, min(n, round(math.sqrt(2 * n * height / width))))
    rows = -(-n // columns)
    grid = np.zeros((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 4), np.uint8)
    for place, tile in enumerate(tiles):
        top, left = place // columns * (height + _GAP), place % columns * (width + _GAP)
        grid[top : top + height, left : left + width] = tile
    return grid
