"""Checkpoints: snapshots, integrity, retention."""
