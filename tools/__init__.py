"""Tools for maintainers: licences, distributions, mutation testing. Not installed."""
