"""Hyperparameter sweeps over many networks."""
