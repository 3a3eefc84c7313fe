"""Checkpoints: saving, integrity and retention."""
