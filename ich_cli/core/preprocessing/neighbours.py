"""Slices beside a slice, for networks that look at several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ich_cli.core.dicom import CTSlice

Around = Mapping[int, Sequence[CTSlice | None]]
