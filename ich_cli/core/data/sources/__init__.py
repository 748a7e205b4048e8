"""Data sources: one module per layout of labelled CT, opened by name."""
