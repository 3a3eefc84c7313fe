"""Diagnostics of a training: layer health and gradient noise."""
