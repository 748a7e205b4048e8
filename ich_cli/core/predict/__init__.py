"""Turn files into predictions.

`Predictor` runs a bundle over series of slices; the writers put its predictions into tables.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
