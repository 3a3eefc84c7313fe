"""`mlp-jax inspect`: what a trained network says of its layers and of single rows."""
