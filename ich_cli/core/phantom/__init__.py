"""Synthetic head CT with known hemorrhages: to test, demonstrate and help to train with."""

from __future__ import annotations

from ich_cli.core.phantom.dicom_io import COLUMNS, to_datasets, write_studies
from ich_cli.core.phantom.geometry import Geometry
from ich_cli.core.phantom.study import PhantomConfig, PhantomStudy, generate

__all__ = [
    "COLUMNS",
    "Geometry",
    "PhantomConfig",
    "PhantomStudy",
    "generate",
    "to_datasets",
    "write_studies",
]
