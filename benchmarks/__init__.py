"""Speed benchmarks, as ratios that carry over between machines: ``python -m benchmarks``."""
