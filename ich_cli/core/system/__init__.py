"""What we ask of the operating system.

Whole-file writes, locks, deadlines, processes, signals, memory. No knowledge of CT.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
