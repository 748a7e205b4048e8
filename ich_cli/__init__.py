"""Probability of intracranial hemorrhage and its five subtypes from head-CT DICOM.

    from ich_cli import Predictor

    predictor = Predictor.load()
    for answer in predictor.predict("scan.dcm"):
        print(answer.probabilities)

Research use only, not a medical device. Importing this package loads no torch: names are fetched
when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ich_cli._version import __version__
from ich_cli.core.errors import IchError
from ich_cli.core.labels import LABELS, SUBTYPES

if TYPE_CHECKING:
    from ich_cli.core.predict import Predictor
    from ich_cli.core.series import read_slices

__all__ = ["LABELS", "SUBTYPES", "IchError", "Predictor", "__version__", "read_slices"]

_HOMES = {
    "Predictor": "ich_cli.core.predict",
    "read_slices": "ich_cli.core.series",
}


def __getattr__(name: str) -> object:
    """Import a public name from its home on first use (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
