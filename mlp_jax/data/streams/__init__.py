"""Data that is larger than memory: rows read from files as training needs them."""
