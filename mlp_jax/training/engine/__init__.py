"""Compiled programs of training: epoch, step, batches, shuffling."""
