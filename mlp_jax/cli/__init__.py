"""The command line: parse and call; no logic of its own."""
