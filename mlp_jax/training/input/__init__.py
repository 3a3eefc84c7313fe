"""Validate training rows, and load them from memory or streams."""
