import re

import pytest


@pytest.fixture
def text(mlp_jax):
    said = mlp_jax(
        "explain", "--inputs", "784", "--hidden", "24", "12", "--outputs", "10",
        "--batch-size", "50", "--activation", "tanh",
    )  # fmt: skip
    assert (said.code, said.err) == (0, "")
    return said.out


def test_each_equation_has_the_shapes_of_the_network(text):
    for i, j in ((784, 24), (24, 12), (12, 10)):
        assert f"z ({j}) = Wᵀ ({j}×{i}) a ({i}) + b ({j})" in text
        assert f"∇z ({j}) = ∇a' ({j}) ⊙ f'(z) ({j})" in text
        assert f"∇a ({i}) = W ({i}×{j}) ∇z ({j})" in text
        assert f"∇W ({i}×{j}) = a ({i}×1) ∇zᵀ (1×{j})" in text
        assert f"∇b ({j}) = ∇z ({j})" in text
        assert f"∇W ({i}×{j}) = Aᵀ ({i}×N) (c ⊙ ∇Z) (N×{j})" in text
        assert f"∇A (N×{i}) = ∇Z (N×{j}) Wᵀ ({j}×{i})" in text
    assert "∇s (10) = ∂Eₙ/∂s" in text


def test_costs_and_memory_are_counted(text):
    parameters = 784 * 24 + 24 + 24 * 12 + 12 + 12 * 10 + 10
    assert f"Total: {parameters:,} parameters" in text
    assert f"{784 * 24:,}" in text
    products = 3 * (784 * 24 + 24 * 12 + 12 * 10) + 24 + 12 + 10
    assert f"{products:,} multiply-adds per example" in text
    assert f"a (N×784), and a', which the next layer keeps: {50 * 784 * 4 / 1000:.1f} kB" in text


def test_the_agreement_is_measured(text):
    assert re.search(r"∇W \(784×24\) = a .* 18,816 +\d?e?-?\d+", text)
    assert "all pass" in text
    assert "✗" not in text


def test_norms_dropout_and_shortcuts_have_their_lines(mlp_jax):
    said = mlp_jax(
        "explain", "--inputs", "6", "--hidden", "4", "4", "--outputs", "1", "--norm", "batch",
        "--dropout", "0.25", "--residual", "--loss", "squared_error",
    )  # fmt: skip
    assert (said.code, said.err) == (0, "")
    assert "⟨·⟩ over the examples" in said.out
    assert "∇a (4) = m (4) ⊙ ∇a' (4) / 0.75" in said.out
    assert "∇a = ∇a' + ∇a of the body" in said.out
    assert "f = relu" in said.out


def test_a_layer_of_categories_has_its_lines(mlp_jax):
    said = mlp_jax("explain", "--inputs", "3", "--categories", "5", "40", "--hidden", "6")
    assert (said.code, said.err) == (0, "")
    assert "layer 0 Categories(3, 5 40→13): 5 → 21" in said.out
    assert "∇E1 (40×13) = 1ₖ (40×1) ∇eᵀ (1×13)" in said.out
    assert "all pass" in said.out
