"""Tables: read from a file, fit the encoding of each column, apply it.

`read` and `delimited` read files; `columns` converts values; `fit` fits, `encode` applies;
`targets` does both for the target.
"""
