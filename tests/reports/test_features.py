import numpy as np
import pytest

from mlp_jax.backprop import get_loss, mlp
from mlp_jax.data.encoding import (
    ArrayEncoding,
    CategoricalColumn,
    NumericColumn,
    TableEncoding,
    TargetEncoding,
)
from mlp_jax.model.saved import Model
from mlp_jax.reports.features import first_layer

TARGET = TargetEncoding("classification", ("y",), ("no", "yes"))


def model_of(inputs, params):
    loss = get_loss("softmax_cross_entropy")
    return Model(mlp([3], 2), loss, params, (), inputs, TARGET)


def test_every_category_has_the_weights_that_its_embedding_makes():
    inputs = TableEncoding(
        (NumericColumn("age", indicator=True), NumericColumn("day", part="year_sin")),
        (
            CategoricalColumn("sex", ("f", "m"), rare=0, missing=3, n_codes=3),
            CategoricalColumn("town", ("Rome", "Ulm"), rare=3, missing=0, n_codes=3, width=2),
        ),
    )
    W = np.arange(8 * 3, dtype=np.float32).reshape(8, 3)
    embedding = np.array([[1, 0], [0, 1], [2, 3]], np.float32)
    found = first_layer(model_of(inputs, ({"embedding_1": embedding}, {"W": W, "b": W[0]})))
    assert found.features == (
        "age", "age missing", "day, year_sin", "sex = f", "sex = m", "sex = missing",
        "town = Rome", "town = Ulm", "town = rare or unknown",
    )  # fmt: skip
    assert found.W[:6] == pytest.approx(W[:6])
    assert found.W[6:] == pytest.approx(np.stack([W[6], W[7], 2 * W[6] + 3 * W[7]]))
    assert found.image_shape == ()


def test_features_of_arrays_have_their_names_or_numbers():
    W = np.ones((4, 3), np.float32)
    found = first_layer(model_of(ArrayEncoding(4, image_shape=(2, 2)), ({"W": W},)))
    assert (found.features[-1], found.image_shape) == ("feature 3", (2, 2))
    named = ArrayEncoding(4, feature_names=("a", "b", "c", "d"))
    assert first_layer(model_of(named, ({"W": W},))).features == ("a", "b", "c", "d")
