"""Publish a bundle on the Hugging Face Hub.

Collect the public files of a run, remove paths, users and hosts from them, render the model card,
upload bundle and Space.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
