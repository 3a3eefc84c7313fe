"""Gradient check: independent witnesses that verify the hand-written backward pass."""

from mlp_jax.proof.check import check_gradients
from mlp_jax.proof.report import Report, Row

__all__ = ["Report", "Row", "check_gradients"]
