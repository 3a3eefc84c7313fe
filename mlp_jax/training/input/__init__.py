"""Validate training rows, and load them in memory or from streams."""
