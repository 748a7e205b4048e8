"""Read a DICOM file to Hounsfield units, with limits on time and memory for hostile files.

Header, geometry, transfer syntaxes, pixel data; compressed frames are decoded in child processes
(`dicom.codecs`).
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
