"""Find, group, order and load CT series.

`scan` finds slices in files, folders and archives; `load` decodes one of them to Hounsfield units.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
