"""Benchmarks of the hand-written gradient against `jax.grad`, and the recording of results."""
