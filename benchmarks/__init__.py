"""How fast `ich` is, as ratios that hold across machines: ``python -m benchmarks``."""
