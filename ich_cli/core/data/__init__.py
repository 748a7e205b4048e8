"""Labelled head CT for training and evaluation.

Label tables, sources (`data.sources`: layouts of public data sets), prepared data sets on
disk, splits by patient, and sampling.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
