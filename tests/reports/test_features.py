import jax.numpy as jnp
import numpy as np
import pytest

from mlp_jax.backprop import Dense, Sequential, get_loss, mlp
from mlp_jax.backprop.columns import Categories
from mlp_jax.data.encoding import (
    ArrayEncoding,
    CategoricalColumn,
    NumericColumn,
    TableEncoding,
    TargetEncoding,
)
from mlp_jax.model.saved import Model
from mlp_jax.reports.features import column_effects, pictured

TARGET = TargetEncoding("classification", ("y",), ("no", "yes"))
RNG = np.random.default_rng(0)


def model_of(network, params, inputs):
    return Model(network, get_loss("softmax_cross_entropy"), params, (), inputs, TARGET)


def test_a_column_moves_z_by_all_of_its_features_together():
    inputs = TableEncoding(
        (NumericColumn("age", indicator=True), NumericColumn("day", part="year_sin")),
        (
            CategoricalColumn("sex", ("f", "m"), rare=0, missing=3, n_codes=3),
            CategoricalColumn("town", ("Rome", "Ulm"), rare=3, missing=0, n_codes=3, width=2),
        ),
    )
    network = Sequential((Categories(3, (3, 3), (0, 2)), Dense(4), Dense(2)))
    embedding, W = RNG.standard_normal((3, 2)), RNG.standard_normal((8, 4))
    params = (
        {"embedding_1": jnp.asarray(embedding, jnp.float32)},
        {"W": jnp.asarray(W, jnp.float32)},
        {"W": jnp.ones((4, 2))},
    )
    x = np.column_stack([RNG.standard_normal((50, 3)), RNG.integers(0, 4, (50, 2))])
    found = column_effects(model_of(network, params, inputs), x.astype(np.float32)).columns

    onehot = np.eye(4)[x[:, 3].astype(int)][:, 1:]
    looked_up = np.vstack([np.zeros(2), embedding])[x[:, 4].astype(int)]
    z = {
        "age": x[:, :2] @ W[:2], "day": x[:, 2:3] @ W[2:3], "sex": onehot @ W[3:6],
        "town": looked_up @ W[6:],
    }  # fmt: skip
    expected = {k: np.sqrt(np.mean(np.sum((v - v.mean(0)) ** 2, axis=1))) for k, v in z.items()}
    assert dict(found) == pytest.approx(expected, rel=1e-5)
    assert [name for name, _ in found] == sorted(expected, key=lambda name: -expected[name])


def test_arrays_have_their_names_or_numbers_and_images_their_weights():
    W = np.arange(12.0).reshape(4, 3)
    network, params = mlp([3], 2), ({"W": W, "b": W[0]}, {"W": W[:3], "b": W[0]})
    x = RNG.standard_normal((30, 4))
    named = model_of(network, params, ArrayEncoding(4, feature_names=("a", "b", "c", "d")))
    assert [name for name, _ in column_effects(named, x).columns][-1] == "a"
    plain = model_of(network, params, ArrayEncoding(4))
    assert {name for name, _ in column_effects(plain, x).columns} == {
        f"feature {i}" for i in range(4)
    }
    assert pictured(plain) is None
    images = pictured(model_of(network, params, ArrayEncoding(4, image_shape=(2, 2))))
    assert images.image_shape == (2, 2)
    assert pytest.approx(W) == images.W
