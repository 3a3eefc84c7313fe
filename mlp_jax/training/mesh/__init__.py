"""Training on a mesh of devices: shardings, collectives and processes.

XLA inserts the collectives from the shardings of the arrays. Only the rows of a batch are gathered
explicitly (`gather_rows.py`).
"""
