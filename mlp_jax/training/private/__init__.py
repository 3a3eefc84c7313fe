"""Private training, DP-SGD (Abadi 2016): one row more or less barely changes the model."""
