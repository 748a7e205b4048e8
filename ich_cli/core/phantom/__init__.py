"""Generate synthetic head CT with known labels and masks, and write it as DICOM."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
