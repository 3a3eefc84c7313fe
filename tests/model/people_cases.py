"""A table with a column of every kind, and models on it."""

import datetime

import numpy as np
import polars as pl
from model_cases import model_of

from mlp_jax.backprop import Categories, Sequential, get_loss, mlp
from mlp_jax.data.encoding import TargetEncoding
from mlp_jax.data.tables.fit import fit_encoding
from mlp_jax.data.tables.options import ColumnOptions

DAY = datetime.datetime(2020, 2, 29, 6)


def people(n=400, seed=0):
    """Numbers, some missing; a flag; moments; words, some missing, some rare; and what is asked."""
    rng = np.random.default_rng(seed)
    age = rng.integers(17, 90, n).astype(np.float64)
    wage = np.round(rng.lognormal(3, 1, n), 2)
    wage[rng.random(n) < 0.1] = np.nan
    town = rng.choice(["Ulm", "Bonn", "Köln", 'a, "b"', ""], n, p=[0.4, 0.3, 0.2, 0.05, 0.05])
    town[:2] = ["Rare 1", "Rare 2"]
    days = [DAY + datetime.timedelta(hours=int(h)) for h in rng.integers(0, 30000, n)]
    return pl.DataFrame(
        {
            "id": [f"p{i:05d}" for i in range(n)],
            "age": age,
            "wage": pl.Series(wage, nan_to_null=True),
            "member": pl.Series(rng.random(n) < 0.5),
            "since": days,
            "town": pl.Series([t or None for t in town], dtype=pl.String),
            "grade": rng.integers(1, 4, n),
            "answer": np.where(age + rng.normal(0, 9, n) > 50, "old", "young"),
        }
    )


def people_encoding(scaling="standard", frame=None):
    frame = people() if frame is None else frame
    return fit_encoding(
        frame,
        targets=["answer"],
        ignored=["id"],
        kinds={"grade": "categorical"},
        options=ColumnOptions(scaling=scaling),
    )[0]


def on_table(inputs, network, widths=None):
    """The network behind a layer of the table's categories, of these widths."""
    codes = tuple(column.n_codes for column in inputs.categorical)
    first = Categories(inputs.n_numeric, codes, widths or (0,) * len(codes))
    return Sequential((first, *network.layers))


def people_model(scaling="standard"):
    """Old or young, from the table of people; the town embedded, the grade one-hot."""
    inputs = people_encoding(scaling)
    return model_of(
        on_table(inputs, mlp([9], 2, "tanh"), (3, 0)),
        get_loss("softmax_cross_entropy"),
        inputs,
        TargetEncoding("classification", ("answer",), ("old", "young")),
    )


def wage_model():
    """The wage from the other columns, in its own units."""
    frame = people().drop("answer", "id").filter(pl.col("wage").is_not_null())
    inputs = fit_encoding(frame, targets=["wage"])[0]
    return model_of(
        on_table(inputs, mlp([6], 1)),
        get_loss("huber"),
        inputs,
        TargetEncoding("regression", ("wage",), (), (31.5,), (34.0,)),
    )
