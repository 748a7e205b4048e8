"""Volumes in NIfTI files, each with a mask, or labels, or both."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ich_cli.core.data.label_table import LabelRow
from ich_cli.core.data.sources.base import LabelledSeries, SourceRequest
from ich_cli.core.data.sources.scanned import (
    ScannedSeries,
    SeriesMasks,
    scan_request,
    with_refused,
)
from ich_cli.core.errors import DataError

_RSNA_PAIR: Final = re.compile(r"(ID_[0-9a-f]{6,16})_(ID_[0-9a-f]{6,16})", re.ASCII)
_CQ500: Final = re.compile(r"CQ500-?CT-?([0-9]{1,4})", re.ASCII | re.IGNORECASE)
_ENDING: Final = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Volume:
    """Image with its mask, labels, patient and study, where known."""

    image: Path
    masks: SeriesMasks | None = None
    labels: Callable[[int], LabelRow | None] | None = None
    """Frame, from 1 → labels, None where there are none; without it, the masks give them."""
    patient: str = field(default="", repr=False)
    """Key of the patient in the data set."""
    study: str = ""
    """Public identifier of the study."""


def open_volumes(request: SourceRequest, volumes: Sequence[Volume]) -> list[LabelledSeries]:
    """Find the series of the images.

    Raises
    ------
    DataError
        If there is no image.
    """
    if not volumes:
        raise DataError(f"{request.paths[0]}: no images with labels or masks")
    found = scan_request(request, [one.image for one in volumes])
    by_path = {one.image: one for one in volumes}
    labelled = []
    for series in found.series:
        one = by_path[series.slices[0].source.path]
        rows = one.labels and tuple(one.labels(ref.id.frame) for ref in series.slices)
        patient = one.patient or public_patient(stem(one.image)) or stem(one.image)
        study = one.study or public_study(stem(one.image))
        labelled.append(ScannedSeries(series, rows, request.limits, one.masks, patient, study))
    return with_refused(labelled, found.all_refused())


def images_in(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by name without suffix, in order; hidden files left out."""
    found = sorted(one for one in folder.iterdir() if one.is_file() and one.name[0] != ".")
    return {stem(one): one for one in found if one.suffix.lower() not in (".csv", ".txt", ".json")}


def stem(path: Path) -> str:
    """Return the name of a file without ``.nii`` or ``.nii.gz``."""
    return _ENDING.sub("", path.name)


def public_patient(name: str) -> str:
    """Return the patient's pseudonym in a public set by a file name; empty where it has none.

    RSNA 2019 (``ID_0a1b2c3d_ID_0a1b2c3d4e``: patient, study) and CQ500 (``CQ500-CT-1``,
    ``CQ500CT1``).
    """
    if pair := _RSNA_PAIR.search(name):
        return pair[1]
    number = _CQ500.search(name)
    return f"CQ500-CT-{int(number[1])}" if number else ""


def public_study(name: str) -> str:
    """Return the study's pseudonym in RSNA 2019 by a file name; empty where it has none."""
    pair = _RSNA_PAIR.search(name)
    return pair[2] if pair else ""
