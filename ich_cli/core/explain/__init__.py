"""Show where a network looked.

Heat maps of several CAM methods for slices and series, and how faithful a map is to the network
(deletion and insertion).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
