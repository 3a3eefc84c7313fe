"""A trained network: what it is judged by, on disk, and out of the door."""
