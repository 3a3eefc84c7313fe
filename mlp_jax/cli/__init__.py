"""Command line: parse options and call the package; no logic here."""
