"""Config, optimizers, the compiled epoch, fit, logs."""
