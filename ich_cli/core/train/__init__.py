"""Train networks on prepared data.

Fit one fold, cross-validate by patient, write checkpoints and resume from them, predict out of
fold, and put runs together as an ensemble.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
