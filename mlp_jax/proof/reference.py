"""Equations index by index, in plain loops over Python floats: independent evidence, no JAX.

W[i, j] connects input i to output j, as in `layer.py`; the sums are those of a scalar derivation by
the chain rule. Each function computes one entry; `docs/derivation.md` quotes them. Slow on purpose.
Arrays are NumPy float64; n counts examples, i inputs, j outputs.
"""

import numpy as np

Vector = np.ndarray
Matrix = np.ndarray


def z_entry(W: Matrix, b: Vector, a: Matrix, n: int, j: int) -> float:
    """z_j = Σ_i W_ij a_i + b_j."""
    return sum(float(W[i, j]) * float(a[n, i]) for i in range(W.shape[0])) + float(b[j])


def grad_a_entry(W: Matrix, grad_z: Matrix, n: int, i: int) -> float:
    """∂E/∂a_i = Σ_j ∂E/∂z_j ∂z_j/∂a_i = Σ_j ∇z_j W_ij (equation 2)."""
    return sum(float(grad_z[n, j]) * float(W[i, j]) for j in range(W.shape[1]))


def grad_W_entry(a: Matrix, grad_z: Matrix, c: Vector, i: int, j: int) -> float:
    """∂E/∂W_ij = Σ_n c_n ∇z_nj a_ni, as only z_j depends on W_ij (equation 3)."""
    return sum(float(c[n]) * float(grad_z[n, j]) * float(a[n, i]) for n in range(len(c)))


def grad_b_entry(grad_z: Matrix, c: Vector, j: int) -> float:
    """∂E/∂b_j = Σ_n c_n ∇z_nj."""
    return sum(float(c[n]) * float(grad_z[n, j]) for n in range(len(c)))


def look_up_entry(E: Matrix, codes: Vector, n: int, d: int) -> float:
    """e_d = Σ_k E_kd [k is the code]: rows count from 1, code 0 has none."""
    return sum(float(E[k, d]) for k in range(E.shape[0]) if int(codes[n]) == k + 1)


def grad_E_entry(codes: Vector, grad_e: Matrix, c: Vector, k: int, d: int) -> float:
    """∂E/∂E_kd = Σ_n c_n ∇e_nd [k is the code of n]: E_kd touches e_d of those that took row k."""
    return sum(float(c[n]) * float(grad_e[n, d]) for n in range(len(c)) if int(codes[n]) == k + 1)


def norm_entry(
    values: Vector, k: int, scale: float, shift: float, *, epsilon: float, centred: bool
) -> float:
    """y_k = γ (v_k − mean)/√(variance + ε) + β over the values that share their statistics."""
    mean = sum(map(float, values)) / len(values) if centred else 0.0
    variance = sum((float(v) - mean) ** 2 for v in values) / len(values)
    return float(scale) * (float(values[k]) - mean) / (variance + epsilon) ** 0.5 + float(shift)


def layer_norm_grad_a_entry(
    a: Vector, scale: Vector, grad_y: Vector, i: int, *, epsilon: float, centred: bool
) -> float:
    """∂E/∂a_i = Σ_j ∇y_j ∂y_j/∂a_i for layer norm (centred) and RMS norm, one example.

    ∂x̂_j/∂a_i = (δ_ij − [centred] 1/J − x̂_i x̂_j/J)/σ.
    """
    J = len(a)
    mean = sum(map(float, a)) / J if centred else 0.0
    sigma = (sum((float(v) - mean) ** 2 for v in a) / J + epsilon) ** 0.5
    x_hat = [(float(v) - mean) / sigma for v in a]
    total = 0.0
    for j in range(J):
        moved = (1.0 if i == j else 0.0) - (1.0 / J if centred else 0.0) - x_hat[i] * x_hat[j] / J
        total += float(grad_y[j]) * float(scale[j]) * moved / sigma
    return total


def batch_norm_grad_a_entry(
    a: Vector, scale: float, grad_y: Vector, m: int, *, epsilon: float
) -> float:
    """∂E/∂a_m = Σ_n ∇y_n ∂y_n/∂a_m for batch norm in training, one feature of all examples.

    ∂x̂_n/∂a_m = (δ_nm − 1/N − x̂_n x̂_m/N)/σ.
    """
    N = len(a)
    mean = sum(map(float, a)) / N
    sigma = (sum((float(v) - mean) ** 2 for v in a) / N + epsilon) ** 0.5
    x_hat = [(float(v) - mean) / sigma for v in a]
    total = 0.0
    for n in range(N):
        moved = (1.0 if n == m else 0.0) - 1.0 / N - x_hat[n] * x_hat[m] / N
        total += float(grad_y[n]) * float(scale) * moved / sigma
    return total
