"""From slices to a study.

Types of predictions, the rule that combines slices into a study verdict, and the quality gate.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
