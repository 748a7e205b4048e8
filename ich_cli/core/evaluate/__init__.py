"""Measure predictions against labels.

Metrics with bootstrap intervals, calibration and thresholds, comparison of models, and the
benchmark of heat maps; ``output`` writes the page, tables and figures.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
