"""Every value of docs/derivation.md by three ways: index by index, by layer.py, by autodiff."""

import math
import re
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np

from mlp_jax.backprop.layer import (
    grad_bias,
    grad_input,
    grad_pre_activation,
    grad_weight,
    pre_activation,
)

Values = dict[str, np.ndarray | float]


# --- witness 1: index by index, Python floats ---


def forward_loops(W, b, a, V, d, y):
    """z, a', s, p, E of one example by scalar sums."""
    z = [sum(W[i][j] * a[i] for i in range(len(a))) + b[j] for j in range(len(b))]
    h = [math.tanh(v) for v in z]
    s = [sum(V[j][k] * h[j] for j in range(len(h))) + d[k] for k in range(len(d))]
    total = sum(math.exp(v) for v in s)
    p = [math.exp(v) / total for v in s]
    return z, h, s, p, -sum(y[k] * math.log(p[k]) for k in range(len(p)))


def backward_loops(W, b, a, V, d, y):
    """∇s, ∇a', ∇z, ∇a of one example by the scalar chain rule, softmax's Jacobian included."""
    z, _, _, p, _ = forward_loops(W, b, a, V, d, y)
    ins, mids, outs = range(len(a)), range(len(z)), range(len(p))
    by_p = [-y[k] / p[k] for k in outs]
    gs = [sum(by_p[k] * p[k] * ((j == k) - p[j]) for k in outs) for j in outs]
    gh = [sum(gs[k] * V[j][k] for k in outs) for j in mids]
    gz = [gh[j] * (1 - math.tanh(z[j]) ** 2) for j in mids]
    return gs, gh, gz, [sum(gz[j] * W[i][j] for j in mids) for i in ins]


def count(name: str) -> int | None:
    """The count that a line such as `784-512-512-10, from the left` names, by adding up."""
    match = re.fullmatch(r"(\d+(?:-\d+)+), (.+)", name)
    if match is None:
        return None
    widths = [int(width) for width in match[1].split("-")]
    weights = sum(n * m for n, m in pairwise(widths))
    slopes = sum(widths[1:-1])
    match match[2]:
        case "from the left":  # a row of width m times an m × n matrix, ⊙ between them
            return weights + slopes
        case "from the right":  # every product carries a matrix with widths[0] columns
            return widths[0] * (sum(n * m for n, m in pairwise(widths[1:])) + slopes + widths[-1])
        case "parameters":
            return weights + sum(widths[1:])
        case "forward pass of one example" | "equation 3 of all layers":
            return weights
        case "entries of ∂z/∂W in the first layer":
            return widths[1] * widths[0] * widths[1]
        case "entries of ∇W in the first layer":
            return widths[0] * widths[1]
    return None


def by_loops(given: dict[str, np.ndarray]) -> Values:
    g = {name: value.tolist() for name, value in given.items()}
    W, b, a, V, d, y, dW = (g[name] for name in ("W", "b", "a", "V", "d", "y", "dW"))
    z, h, s, p, loss = forward_loops(W, b, a, V, d, y)
    gs, gh, gz, ga = backward_loops(W, b, a, V, d, y)
    ins, mids, outs = range(len(a)), range(len(z)), range(len(s))
    slope = [1 - math.tanh(v) ** 2 for v in z]
    gW = [[a[i] * gz[j] for j in mids] for i in ins]
    gV = [[h[j] * gs[k] for k in outs] for j in mids]
    dz = [sum(dW[i][j] * a[i] for i in ins) for j in mids]
    first_order = sum(gW[i][j] * dW[i][j] for i in ins for j in mids)

    def rise(step):
        moved = [[W[i][j] + step * dW[i][j] for j in mids] for i in ins]
        return forward_loops(moved, b, a, V, d, y)[-1] - loss

    values = {
        **g,
        "z": z, "a'": h, "f'(z)": slope, "s": s, "p": p, "E": loss,
        "∇s": gs, "p − y": [p[k] - y[k] for k in outs], "∇d": gs, "∇V": gV, "a' ∇sᵀ": gV,
        "∇a'": gh, "V ∇s": gh, "∇z": gz, "∇a": ga, "∇W": gW, "∇b": gz,
        "∂a'/∂z": [[slope[j] if j == k else 0.0 for k in mids] for j in mids],
        "∂z/∂a": [[W[i][j] for i in ins] for j in mids],
        "∂z_1/∂W": [[a[i] * (k == 0) for k in mids] for i in ins],
        "∂z_2/∂W": [[a[i] * (k == 1) for k in mids] for i in ins],
        "dz": dz, "dWᵀa": dz,
        "⟨∇z, dz⟩": sum(gz[j] * dz[j] for j in mids), "⟨∇W, dW⟩": first_order,
        "E(W + dW) − E(W)": rise(1.0),
        "E(W + dW) − E(W) − ⟨∇W, dW⟩": rise(1.0) - first_order,
        "E(W + dW/10) − E(W) − ⟨∇W, dW/10⟩": rise(0.1) - 0.1 * first_order,
        "[a; 1]": [*a, 1.0], "[a; 1] ∇zᵀ": [[v * gz[j] for j in mids] for v in [*a, 1.0]],
        "Vᵀ∇s": [sum(V[k][j] * gs[k] for k in outs) for j in mids],
        "f'(a')": [1 - math.tanh(v) ** 2 for v in h],
    }  # fmt: skip
    c, A, Y = g["c"], g["A"], g["Y"]
    rows = range(len(c))
    Z = [forward_loops(W, b, A[n], V, d, Y[n])[0] for n in rows]
    backward = [backward_loops(W, b, A[n], V, d, Y[n]) for n in rows]
    gZ, gA = [row[2] for row in backward], [row[3] for row in backward]
    values |= {
        "Z": Z, "∇Z": gZ, "∇A": gA, "∇Z Wᵀ": gA,
        "c ⊙ ∇Z": [[c[n] * gZ[n][j] for j in mids] for n in rows],
        "Aᵀ(c ⊙ ∇Z)": [[sum(c[n] * A[n][i] * gZ[n][j] for n in rows) for j in mids] for i in ins],
        "(c ⊙ ∇Z)ᵀ1": [sum(c[n] * gZ[n][j] for n in rows) for j in mids],
    }  # fmt: skip
    return {name: np.asarray(value, np.float64) for name, value in values.items()}


# --- witness 2: the functions of mlp_jax.backprop.layer ---


def by_layer(given: dict[str, np.ndarray]) -> Values:
    with jax.enable_x64(True):
        W, b, V, d, c = (jnp.asarray(given[name]) for name in ("W", "b", "V", "d", "c"))

        def backward(a, y):
            z = pre_activation(W, b, a)
            h = jnp.tanh(z)
            gs = jax.nn.softmax(pre_activation(V, d, h)) - y
            gh = grad_input(V, gs)
            return z, h, gs, gh, grad_pre_activation(gh, 1 - h**2)

        a, y = jnp.asarray(given["a"])[None], jnp.asarray(given["y"])[None]
        z, h, gs, gh, gz = backward(a, y)
        gW, gV, gb, gd = grad_weight(a, gz), grad_weight(h, gs), grad_bias(gz), grad_bias(gs)
        with_one = jnp.concatenate([a, jnp.ones((1, 1))], axis=1)
        dW = jnp.asarray(given["dW"])
        dz = pre_activation(dW, None, a)
        A, Y = jnp.asarray(given["A"]), jnp.asarray(given["Y"])
        Z, _, _, _, gZ = backward(A, Y)
        gA = grad_input(W, gZ)
        values = {
            "z": z[0], "a'": h[0], "∇s": gs[0], "p − y": gs[0], "∇d": gd, "∇V": gV,
            "a' ∇sᵀ": gV, "∇a'": gh[0], "V ∇s": gh[0], "∇z": gz[0], "∇a": grad_input(W, gz)[0],
            "∇W": gW, "∇b": gb, "[a; 1] ∇zᵀ": grad_weight(with_one, gz),
            "dz": dz[0], "⟨∇z, dz⟩": jnp.sum(gz * dz), "⟨∇W, dW⟩": jnp.sum(gW * dW),
            "Z": Z, "∇Z": gZ, "∇A": gA, "∇Z Wᵀ": gA, "c ⊙ ∇Z": c[:, None] * gZ,
            "Aᵀ(c ⊙ ∇Z)": grad_weight(A, gZ, c), "(c ⊙ ∇Z)ᵀ1": grad_bias(gZ, c),
            "Vᵀ∇s": grad_input(V.T, gs)[0],
        }  # fmt: skip
        return {name: np.asarray(value) for name, value in values.items()}


# --- witness 3: jax.grad and jax.jacobian of a forward pass, float64 ---


def by_autodiff(given: dict[str, np.ndarray]) -> Values:
    with jax.enable_x64(True):
        g = {name: jnp.asarray(value) for name, value in given.items()}

        def forward(at, a, y):
            """E of one example; `at` holds the parameters, and zeros added to s, a' and z."""
            z = at["W"].T @ a + at["b"] + at["at z"]
            h = jnp.tanh(z) + at["at a'"]
            s = at["V"].T @ h + at["d"] + at["at s"]
            return -jnp.sum(y * jax.nn.log_softmax(s)), (z, h, s)

        zeros = jnp.zeros(2)
        at = {name: g[name] for name in "WbVd"} | {"at z": zeros, "at a'": zeros, "at s": zeros}
        (loss, (z, h, s)), (grads, ga) = jax.value_and_grad(forward, (0, 1), has_aux=True)(
            at, g["a"], g["y"]
        )
        z_by_W = jax.jacobian(lambda W: W.T @ g["a"] + g["b"])(g["W"])
        dW = g["dW"]
        first_order = jnp.vdot(grads["W"], dW)

        def rise(step):
            return forward(at | {"W": at["W"] + step * dW}, g["a"], g["y"])[0] - loss

        def batch(W, b, A, probe, c):
            def one(a, y, at_z):
                return forward(at | {"W": W, "b": b, "at z": at_z}, a, y)[0]

            return jnp.sum(c * jax.vmap(one)(A, g["Y"], probe))

        probe = jnp.zeros((2, 2))
        own = jax.grad(batch, (2, 3))(g["W"], g["b"], g["A"], probe, jnp.ones(2))
        mean = jax.grad(batch, (0, 1, 3))(g["W"], g["b"], g["A"], probe, g["c"])
        values = {
            "z": z, "a'": h, "s": s, "p": jax.nn.softmax(s), "E": loss,
            "f'(z)": jax.vmap(jax.grad(jnp.tanh))(z),
            "f'(a')": jax.vmap(jax.grad(jnp.tanh))(h),
            "∇s": grads["at s"], "p − y": grads["at s"], "∇d": grads["d"], "∇V": grads["V"],
            "a' ∇sᵀ": grads["V"], "∇a'": grads["at a'"], "V ∇s": grads["at a'"],
            "∇z": grads["at z"], "∇a": ga, "∇W": grads["W"], "∇b": grads["b"],
            "[a; 1] ∇zᵀ": jnp.concatenate([grads["W"], grads["b"][None]]),
            "∂a'/∂z": jax.jacobian(jnp.tanh)(z),
            "∂z/∂a": jax.jacobian(lambda a: g["W"].T @ a + g["b"])(g["a"]),
            "∂z_1/∂W": z_by_W[0], "∂z_2/∂W": z_by_W[1],
            "dz": jax.jvp(lambda W: W.T @ g["a"], (g["W"],), (dW,))[1],
            "⟨∇z, dz⟩": jax.jvp(lambda W: forward(at | {"W": W}, g["a"], g["y"])[0],
                                (g["W"],), (dW,))[1],
            "⟨∇W, dW⟩": first_order,
            "E(W + dW) − E(W)": rise(1.0),
            "E(W + dW) − E(W) − ⟨∇W, dW⟩": rise(1.0) - first_order,
            "E(W + dW/10) − E(W) − ⟨∇W, dW/10⟩": rise(0.1) - 0.1 * first_order,
            "∇A": own[0], "∇Z Wᵀ": own[0], "∇Z": own[1],
            "c ⊙ ∇Z": mean[2], "Aᵀ(c ⊙ ∇Z)": mean[0], "(c ⊙ ∇Z)ᵀ1": mean[1],
        }  # fmt: skip
        return {name: np.asarray(value) for name, value in values.items()}


WITNESSES = {"index loops": by_loops, "layer.py": by_layer, "autodiff": by_autodiff}
