"""A whole epoch of training against what people use."""
