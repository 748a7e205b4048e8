"""Run a network: with PyTorch, torch.compile or OpenVINO.

An engine is chosen by name and hardware, its precision is checked, and converted networks are
cached.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
