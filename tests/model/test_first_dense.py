import pytest

from mlp_jax.backprop import Categories, Ensemble, Sequential, mlp
from mlp_jax.model.first_dense import first_dense
from mlp_jax.proof.trial import TABLES, table_network

PLAIN = mlp([5], 2, norm="batch")


@pytest.mark.parametrize(
    ("network", "path"),
    [
        (PLAIN, (0,)),
        (mlp([5, 5], 2, residual=True), (0,)),
        (Sequential((Categories(2, (20,), (3,)), *PLAIN.layers)), (1,)),
        (Ensemble((PLAIN, PLAIN), "softmax"), (0, 0)),
    ],
)
def test_the_first_dense_layer_is_found_behind_the_categories(network, path):
    assert first_dense(network) == path


@pytest.mark.parametrize("name", TABLES)
def test_where_numbers_are_embedded_first_no_weight_belongs_to_a_feature(name):
    assert first_dense(table_network(name, 3, (4,), 2, "relu", 0.0, "softmax")) is None
