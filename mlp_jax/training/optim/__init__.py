"""Optimizers, learning-rate schedules and K-FAC."""
