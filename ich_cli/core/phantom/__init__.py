"""Synthetic head CT with known hemorrhages: to test, demonstrate and help to train with."""

from __future__ import annotations

from ich_cli.core.phantom.geometry import Geometry
from ich_cli.core.phantom.study import PhantomConfig, PhantomStudy, generate

__all__ = ["Geometry", "PhantomConfig", "PhantomStudy", "generate"]
