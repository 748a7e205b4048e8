"""Probability of intracranial hemorrhage and its five subtypes from head-CT DICOM.

    from ich_cli import Predictor

    predictor = Predictor.load()
    for prediction in predictor.predict("scan.dcm"):
        print(prediction.by_label())

Research use only, not a medical device. All names are imported on first use, so importing this
package loads neither NumPy nor torch. Recipes: docs/python-api.md.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
