"""Any NIfTI volumes with binary masks, or with a table of labels.

images/NAME.nii.gz, masks/NAME.nii.gz     also imagesTr and labelsTr (nnU-Net), data and label
NAME.nii.gz …, labels.csv                 a row per file (labels per study), or per file and
frame (labels per slice, from 1)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ich_cli.core.data.label_table import LabelRow, listed, read_labels
from ich_cli.core.data.mask_files import MaskFiles
from ich_cli.core.data.sources.base import Opened, Source, SourceRequest
from ich_cli.core.data.sources.scanned import find_table
from ich_cli.core.data.sources.volumes import Volume, images_in, open_volumes, paired, stem
from ich_cli.core.errors import DataError, UsageError

if TYPE_CHECKING:
    from ich_cli.core.series import SliceRef

TABLES: Final = ("labels.csv",)
FOLDERS: Final = (
    ("images", "masks"), ("images", "labels"), ("imagesTr", "labelsTr"), ("data", "label"),
    ("images", "label"), ("ct_scans", "masks"),
)  # fmt: skip
_CHANNEL: Final = "_0000"  # suffix of images in nnU-Net


def _recognises(folder: Path) -> bool:
    return _folders(folder) is not None or (
        any(folder.glob("*.nii*")) and (folder / TABLES[0]).is_file()
    )


def _open(request: SourceRequest) -> Opened:
    if len(request.paths) != 1 or not request.paths[0].is_dir():
        raise UsageError("--source nifti takes one folder")
    folder = request.paths[0]
    places = _folders(folder)
    if places is None or request.labels is not None:
        return _open_table(request, places[0] if places else folder)
    images = {name.removesuffix(_CHANNEL): path for name, path in images_in(places[0]).items()}
    pairs = paired(images, images_in(places[1]), str(folder))
    return Opened(open_volumes(request, [Volume(i, MaskFiles((m,))) for _, i, m in pairs]))


def _folders(folder: Path) -> tuple[Path, Path] | None:
    for images, masks in FOLDERS:
        if (folder / images).is_dir() and (folder / masks).is_dir():
            return folder / images, folder / masks
    return None


def _open_table(request: SourceRequest, folder: Path) -> Opened:
    path = request.labels or find_table([folder], TABLES)
    rows = {_key(name): row for name, row in read_labels(path).items()}
    images = images_in(folder)
    named = {name.partition("#")[0] for name in rows}
    missing = [name for name in images if name not in named]
    if missing or not images:
        raise DataError(f"{path}: no row for {len(missing)} volumes ({listed(missing)})")
    volumes = [Volume(image, labels=_Rows(rows, name)) for name, image in images.items()]
    per_slice = any("#" in name for name in rows)
    return Opened(open_volumes(request, volumes), label_level="slice" if per_slice else "study")


def _key(name: str) -> str:
    """Return the key of a row: name of the file without folder and suffix, and ``#frame``."""
    path, mark, frame = name.partition("#")
    return stem(Path(path)) + mark + frame


class _Rows:
    """Labels of a volume's slices."""

    def __init__(self, rows: Mapping[str, LabelRow], name: str) -> None:
        self._rows, self._name = rows, name

    def __call__(self, ref: SliceRef) -> LabelRow | None:
        return self._rows.get(f"{self._name}#{ref.id.frame}", self._rows.get(self._name))


SOURCE: Final = Source("nifti", "own NIfTI", _recognises, _open)
