"""One training on many devices: how its arrays are split over a mesh of them.

The collectives are XLA's: a sharding says where an array lies, and the compiler puts in what has to
be exchanged. Only the rows of a batch are fetched by a program of our own (`rows.py`).
"""
