"""Limits on the inflation of compressed files, against decompression bombs."""

MOST_FOR_FREE = 1 << 30
MOST_TIMES = 100


def inflation_bound(n_packed: int) -> int:
    """Return the maximum inflated size of a compressed file: 1 GiB, or 100 times n_packed bytes."""
    return max(MOST_FOR_FREE, MOST_TIMES * n_packed)


def as_size(n_bytes: float) -> str:
    """Format a number of bytes: '5 kB', '11.6 MB', '2.8 GB'."""
    if n_bytes < 1000:
        return f"{n_bytes:.0f} bytes"
    if n_bytes < 999_500:
        return f"{n_bytes / 1e3:.0f} kB"
    value, unit = (n_bytes / 1e6, "MB") if n_bytes < 999_500_000 else (n_bytes / 1e9, "GB")
    return f"{value:,.{1 if value < 99.95 else 0}f} {unit}"
