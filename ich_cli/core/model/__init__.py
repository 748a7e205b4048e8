"""Networks: backbones, heads, second-stage sequence models, input scaling, devices."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
