"""Tables: read from a file, learn the encoding of each column from the training rows, apply it.

`read` and `delimited` read files; `columns` says what the values of a column are; `fit` learns,
`encode` applies; `targets` does both for what is predicted.
"""
