"""Predict series of CT slices.

`Predictor` runs a bundle on series, `Parts` saves the results of an unfinished run, and `tables`
writes the tables of slices and studies.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
