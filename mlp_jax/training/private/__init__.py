"""Differentially private training by DP-SGD (Abadi 2016)."""
