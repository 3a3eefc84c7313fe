"""`mlp-jax bench trainers`, which lives in benchmarks/trainers of a checkout."""
