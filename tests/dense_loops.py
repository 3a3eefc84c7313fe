"""A whole dense layer by the index equations of `reference.py`, in both notations."""

import numpy as np

from mlp_jax.proof.reference import (
    Matrix,
    Vector,
    grad_a_entry,
    grad_b_entry,
    grad_W_entry,
    z_entry,
)


def dense_forward(W: Matrix, b: Vector, a: Matrix) -> Matrix:
    """z (N, J), entry by entry."""
    return np.array([[z_entry(W, b, a, n, j) for j in range(len(b))] for n in range(len(a))])


def dense_backward(
    W: Matrix, a: Matrix, grad_z: Matrix, c: Vector
) -> tuple[Matrix, Matrix, Vector]:
    """∇a (N, I), ∇W (I, J) and ∇b (J,), entry by entry."""
    n_in, n_out = W.shape
    grad_a = [[grad_a_entry(W, grad_z, n, i) for i in range(n_in)] for n in range(len(a))]
    grad_W = [[grad_W_entry(a, grad_z, c, i, j) for j in range(n_out)] for i in range(n_in)]
    grad_b = [grad_b_entry(grad_z, c, j) for j in range(n_out)]
    return np.array(grad_a), np.array(grad_W), np.array(grad_b)


def with_bias_neuron(W: Matrix, b: Vector, a: Matrix) -> tuple[Matrix, Matrix]:
    """Write the bias as the weights of a dummy activation of 1: W̃ = [W; bᵀ] (I+1, J), ã = [a, 1].

    Then z = W̃ᵀã, and the last row of ∇W̃ = ã ∇zᵀ is ∇b.
    """
    return np.vstack([W, b[None, :]]), np.hstack([a, np.ones((len(a), 1))])


def column_forward(W: Matrix, b: Vector, a: Vector) -> Vector:
    """z = W a + b in the notation with W (n_out, n_in), one example: z_j = Σ_i W_ji a_i + b_j."""
    return np.array(
        [
            sum(float(W[j, i]) * float(a[i]) for i in range(len(a))) + float(b[j])
            for j in range(len(b))
        ]
    )


def column_backward(W: Matrix, a: Vector, grad_z: Vector) -> tuple[Vector, Matrix, Vector]:
    """∇a = Wᵀ∇z, ∇W = ∇z aᵀ, ∇b = ∇z in the notation with W (n_out, n_in), one example."""
    outs, ins = range(W.shape[0]), range(W.shape[1])
    grad_a = [sum(float(W[j, i]) * float(grad_z[j]) for j in outs) for i in ins]
    grad_W = [[float(grad_z[j]) * float(a[i]) for i in ins] for j in outs]
    return np.array(grad_a), np.array(grad_W), np.array(grad_z, dtype=float)
