"""Services of the operating system, without any knowledge of CT.

Atomic writes, locks, reads with a deadline, threads and processes, signals, memory.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
