"""Turn a CT slice into model input, the same way everywhere.

`prepare` turns the slice upright, finds the head, crops, windows and resizes; train, evaluate,
predict, explain and the page all call it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
