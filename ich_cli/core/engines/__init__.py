"""Run networks with PyTorch, torch.compile or OpenVINO.

An engine takes prepared uint8 pixels and returns logits, both as NumPy arrays. `choose` selects it
by name, hardware and job size; `load_engines` checks its precision and starts it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
