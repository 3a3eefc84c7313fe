"""Where named data sets come from: with the package, made here, downloaded, or from a service."""
