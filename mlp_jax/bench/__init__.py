"""Measurements: manual against automatic gradients, and the trainer against other trainers."""
