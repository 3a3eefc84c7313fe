"""Small tables for the tests, drawn from a seed."""

import numpy as np
import polars as pl


def people(n=400, seed=0):
    """Numbers, whole numbers, words, booleans and dates, some of each missing, and an income."""
    rng = np.random.default_rng(seed)

    def holes(values, share=0.1):
        return [
            None if hidden else v for v, hidden in zip(values, rng.random(n) < share, strict=True)
        ]

    days = np.datetime64("2020-01-01") + rng.integers(0, 900, n)
    return pl.DataFrame(
        {
            "age": rng.integers(17, 90, n),
            "weight": holes((70 + 12 * rng.standard_normal(n)).tolist()),
            "town": holes(rng.choice(["Ulm", "Bonn", "Köln"], n, p=[0.6, 0.3, 0.1]).tolist()),
            "street": rng.choice([f"street {k}" for k in range(30)], n).tolist(),
            "member": holes(rng.choice(["yes", "no"], n).tolist()),
            "since": [str(day) for day in days],
            "income": rng.choice(["<=50K", ">50K"], n, p=[0.7, 0.3]).tolist(),
        }
    )
