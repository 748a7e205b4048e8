"""Measure predictions against labels.

Metrics, calibration, bootstrap intervals, comparison of bundles, benchmark of heat maps, and the
HTML page, tables and figures that show them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
