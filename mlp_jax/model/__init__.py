"""A trained network: prediction, metrics, uncertainty, saving and export."""
