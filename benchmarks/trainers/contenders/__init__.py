"""The contenders of `mlp-jax bench trainers`, one small module each; each imports one library."""
