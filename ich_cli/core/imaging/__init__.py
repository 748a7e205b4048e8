"""Arrays of Hounsfield units and pictures of them.

Windowing, the mask of the head, heat-map overlays, inpainting. No files, no networks.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
