"""Predict series of CT slices.

`Predictor` runs a bundle over series; `Parts` keeps the results of an unfinished run; the table
writers write them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
