"""Charts of runs with matplotlib: PNG files, and SVG inside HTML pages."""
