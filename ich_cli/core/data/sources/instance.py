"""INSTANCE 2022: volumes with binary masks, by number.

train_2/data/001.nii.gz
train_2/label/001.nii.gz     0 or 1: subtypes are unknown
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ich_cli.core.data.mask_files import MaskFiles
from ich_cli.core.data.sources.base import Opened, Source, SourceRequest, find_folder
from ich_cli.core.data.sources.volumes import Volume, images_in, open_volumes, paired
from ich_cli.core.errors import DataError

IMAGES, MASKS = "data", "label"
LICENCE: Final = "INSTANCE 2022 (Li et al.), by registration; no redistribution"


def _recognises(folder: Path) -> bool:
    root = find_folder(folder, IMAGES, MASKS)
    return root is not None and any(name.isdecimal() for name in images_in(root / MASKS))


def _open(request: SourceRequest) -> Opened:
    root = find_folder(request.folder("instance"), IMAGES, MASKS)
    if root is None:
        raise DataError(f"{request.paths[0]}: not INSTANCE, which has {IMAGES} and {MASKS}")
    pairs = paired(images_in(root / IMAGES), images_in(root / MASKS), "INSTANCE")
    volumes = [Volume(image, MaskFiles((mask,)), patient=name) for name, image, mask in pairs]
    return Opened(open_volumes(request, volumes))


SOURCE: Final = Source("instance", "INSTANCE 2022", _recognises, _open, LICENCE)
