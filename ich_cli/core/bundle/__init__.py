"""Bundles: models as folders with `config.json`, `model.safetensors` and `README.md`.

Read, check and write bundles; find them locally or on the Hugging Face Hub; import timm models.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
