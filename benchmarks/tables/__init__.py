"""Benchmark of real tables: presets and plain networks beside the methods people use for tables."""
