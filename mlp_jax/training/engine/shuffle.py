"""Order of an epoch: a random permutation that is computed per place, without a sort.

Sorting random keys takes 20 ms for 60,000 rows on two cores, while the steps of a small network on
them take 100 ms. A cipher takes 0.7 ms, and computes any places alone, such as those of a part of
an epoch or of a shard.

The places 0 … n−1 are written as pairs (u, v), u < A and v < B with A·B just above n, and pass
through rounds u ← u + F(v) mod A, v ← v + F'(u) mod B with keyed random functions F. Each round is
invertible, so the rounds permute the pairs (a Feistel network over Z_A × Z_B, Black & Rogaway 2002,
section 5). A pair that stands for n or more passes through again until it does not, which leaves a
permutation of the places below n (cycle walking, section 3). Mitchell, Stokes, Frank & Holmes 2022
evaluate such permutations as shuffles: 24 of their rounds pass every test, and so do the rounds
here (`tests/training/engine/test_shuffle.py`).
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, UInt32

_ROUNDS = 16
_HALF = 16


def _mixed(x: UInt32[Array, "*shape"], key: UInt32[Array, ""]) -> UInt32[Array, "*shape"]:
    """Mix x and the key into 32 bits (the finalizer of MurmurHash3)."""
    x = (x + key) * jnp.uint32(0x9E3779B1)
    x = (x ^ (x >> 16)) * jnp.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * jnp.uint32(0xC2B2AE35)
    return x ^ (x >> 16)


def _below(bits: UInt32[Array, "*shape"], bound: int) -> UInt32[Array, "*shape"]:
    """Return ⌊bits · bound / 2³²⌋ for a bound of at most 2¹⁶, in 32-bit arithmetic."""
    high, low = bits >> _HALF, bits & jnp.uint32(0xFFFF)
    return (high * jnp.uint32(bound) + ((low * jnp.uint32(bound)) >> _HALF)) >> _HALF


def _shifted(
    u: UInt32[Array, "*shape"], v: UInt32[Array, "*shape"], key: UInt32[Array, ""], bound: int
) -> UInt32[Array, "*shape"]:
    """Return u + F(v) mod bound, for u < bound."""
    total = u + _below(_mixed(v, key), bound)
    return jnp.where(total >= bound, total - jnp.uint32(bound), total)


def permuted(key: Array, places: Int[Array, " M"], n: int) -> Int[Array, " M"]:
    """Return the rows (int32, below n) at these places of the permutation that `key` selects.

    places: below n, which is below 2³¹. The result is the same on every device, with or without
    x64.
    """
    wide = math.isqrt(n - 1) + 1
    high = -(-n // wide)
    keys = jax.random.bits(key, (_ROUNDS,), jnp.uint32)

    def through(place: UInt32[Array, " M"]) -> UInt32[Array, " M"]:
        u, v = place % jnp.uint32(wide), place // jnp.uint32(wide)
        for number in range(0, _ROUNDS, 2):
            u = _shifted(u, v, keys[number], wide)
            v = _shifted(v, u, keys[number + 1], high)
        return v * jnp.uint32(wide) + u

    rows = through(places.astype(jnp.uint32))
    if wide * high > n:
        rows = jax.lax.while_loop(
            lambda rows: jnp.any(rows >= n),
            lambda rows: jnp.where(rows >= n, through(rows), rows),
            rows,
        )
    return rows.astype(jnp.int32)
