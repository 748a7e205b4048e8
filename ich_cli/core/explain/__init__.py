"""Explain predictions with heat maps.

Maps of several CAM methods for slices and series, and their faithfulness: the drop of the
probability when the hottest region is replaced.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
