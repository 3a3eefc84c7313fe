"""Measurements: the gradient by hand against `jax.grad`, and what they were measured on."""
