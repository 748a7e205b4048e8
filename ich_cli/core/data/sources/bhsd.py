"""BHSD: 192 volumes of RSNA 2019 with voxel masks of five subtypes (Wu et al., MLMI 2023).

label_192/images/ID_0237f3c9_ID_40015688b9.nii.gz
label_192/ground truths/ID_0237f3c9_ID_40015688b9.nii.gz    0, or 1 to 5 for the subtypes
unlabel_2000/*.nii.gz                                       without labels
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ich_cli.core.data.mask_files import MaskFiles
from ich_cli.core.data.sources.base import Opened, Source, SourceRequest, find_folder
from ich_cli.core.data.sources.volumes import Volume, images_in, open_volumes, paired
from ich_cli.core.errors import DataError

IMAGES, MASKS, UNLABELLED = "images", "ground truths", "unlabel_2000"
LICENCE: Final = "BHSD, Wu et al. 2023; not for commercial use; images of RSNA 2019"


def _recognises(folder: Path) -> bool:
    return find_folder(folder, IMAGES, MASKS) is not None


def _open(request: SourceRequest) -> Opened:
    root = find_folder(request.folder("bhsd"), IMAGES, MASKS)
    if root is None:
        raise DataError(f"{request.paths[0]}: not BHSD, which has {IMAGES} and {MASKS!r}")
    pairs = paired(images_in(root / IMAGES), images_in(root / MASKS), "BHSD")
    volumes = [Volume(image, MaskFiles((mask,), classes=True)) for _, image, mask in pairs]
    other = root.parent / UNLABELLED
    notes = (f"without labels, not read: {UNLABELLED}",) if other.is_dir() else ()
    return Opened(open_volumes(request, volumes), notes=notes)


SOURCE: Final = Source("bhsd", "BHSD", _recognises, _open, LICENCE)
