"""HemSeg-200 and HemSeg-500: binary masks of studies of RSNA 2019, without the images.

    HemSeg-500/{train,val,test}/label/<StudyInstanceUID without ID_>.nii.gz    0 or 1

The images are those of RSNA 2019: ``--images stage_2_train``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ich_cli.core.data.label_table import listed
from ich_cli.core.data.mask_files import MaskFiles
from ich_cli.core.data.sources.base import (
    LabelledSeries,
    Opened,
    Source,
    SourceRequest,
    find_folder,
)
from ich_cli.core.data.sources.scanned import ScannedSeries, scan_request
from ich_cli.core.data.sources.volumes import images_in, public_study, stem
from ich_cli.core.errors import DataError, UsageError

PARTS, MASKS = ("train", "val", "test"), "label"
LICENCE: Final = "HemSeg; images of RSNA 2019, for non-commercial and academic use"


def _recognises(folder: Path) -> bool:
    return any(_masks(folder)) and not _has_images(folder)


def _has_images(folder: Path) -> bool:
    return find_folder(folder, "data", MASKS) is not None


def _masks(folder: Path) -> dict[str, Path]:
    """Return study without ``ID_`` → mask."""
    places = (folder / part / MASKS for part in PARTS)
    found = [images_in(place) for place in places if place.is_dir()]
    return {name: path for part in found for name, path in part.items()}


def _open(request: SourceRequest) -> Opened:
    folder = request.folder("hemseg")
    masks = _masks(folder) or _masks(find_folder(folder, PARTS[0]) or folder)
    if not masks:
        raise DataError(f"{folder}: not HemSeg, which has masks in train/{MASKS}")
    if request.images is None:
        raise UsageError("HemSeg has masks only: give the images of RSNA 2019 with --images")
    found = scan_request(request, [request.images])
    series: list[LabelledSeries] = []
    missing = set(masks)
    for one in found.series:
        name = stem(one.slices[0].source.path)
        study = (public_study(name) or one.study or name).removeprefix("ID_")
        if study in masks:
            missing.discard(study)
            mask = MaskFiles((masks[study],))
            series.append(
                ScannedSeries(one, None, request.limits, mask, public_study=f"ID_{study}")
            )
    if not series:
        raise DataError(
            f"{request.images}: no images of the masks of {folder} ({listed(sorted(masks))})"
        )
    note = f"{len(missing)} masks have no images in {request.images}: {listed(sorted(missing))}"
    return Opened(series, notes=(note,) if missing else ())


SOURCE: Final = Source("hemseg", "HemSeg", _recognises, _open, LICENCE)
