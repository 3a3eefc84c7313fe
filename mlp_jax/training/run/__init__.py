"""Training runs: configuration, run folder, logs and plots."""
