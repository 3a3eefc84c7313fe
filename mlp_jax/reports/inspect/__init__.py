"""`mlp-jax inspect`: layers of a trained network, and suspicious rows."""
