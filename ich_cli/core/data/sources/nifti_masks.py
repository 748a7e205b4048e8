"""NIfTI volumes with lesion masks: BHSD, MBH-Seg 2025, INSTANCE 2022, Seg-CQ500, HemSeg, own.

bhsd        label_192/images/ID_0237f3c9_ID_40015688b9.nii.gz        patient and study of RSNA 2019
            label_192/ground truths/ID_0237f3c9_ID_40015688b9.nii.gz   0, or 1 to 5 for the subtypes
            unlabel_2000/*.nii.gz                                      without labels
mbh         MBH_Train_2025_voxel-label/<patient>_<study>/image.nii.gz, label_annot_1.nii.gz …
            MBH_Train_2025_case-label/<patient>_<study>.nii.gz, case-wise_annotation.csv
instance    train_2/data/001.nii.gz, train_2/label/001.nii.gz          0 or 1
seg-cq500   Seg-CQ500/data/volumes/info.csv                            column name
            Seg-CQ500/data/volumes/<name>/CT.nii, ICH_mask.nii.gz      0 or 1
hemseg      HemSeg-500/{train,val,test}/label/<StudyInstanceUID without ID_>.nii.gz    0 or 1
nifti       images/NAME.nii.gz, masks/NAME.nii.gz       also imagesTr and labelsTr (nnU-Net) …
            NAME.nii.gz …, labels.csv                   a row per file, or per file and frame

Masks of 0 and 1 leave the subtypes unknown. Labels of cases (mbh) and of files (nifti) are labels
per study: evaluation only. HemSeg has no images: ``--images`` names the folder of RSNA 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ich_cli.core.data.label_table import LabelRow, listed, read_labels
from ich_cli.core.data.mask_files import MaskFiles
from ich_cli.core.data.sources.base import Opened, Source, SourceRequest, find_folder
from ich_cli.core.data.sources.scanned import ScannedSeries, find_table, scan_request
from ich_cli.core.data.sources.volumes import (
    Volume,
    images_in,
    open_volumes,
    public_patient,
    public_study,
    stem,
)
from ich_cli.core.data.tables import read_table
from ich_cli.core.errors import DataError, UsageError

if TYPE_CHECKING:
    from ich_cli.core.series import Series

_BHSD: Final = ("images", "ground truths")
_INSTANCE: Final = ("data", "label")
_MBH_TABLE, _MBH_IMAGE = "case-wise_annotation.csv", "image.nii.gz"
_MBH_VOXEL, _MBH_RATERS = "MBH_Train_2025_voxel-label", "label_annot_*.nii*"
_SEG_CQ500: Final = "info.csv"
_SEG_FILES: Final = ("CT.nii", "ICH_mask.nii.gz")
_HEMSEG_PARTS, _HEMSEG_MASKS = ("train", "val", "test"), "label"
_OWN_TABLE: Final = "labels.csv"
_OWN_FOLDERS: Final = (
    ("images", "masks"), ("images", "labels"), ("imagesTr", "labelsTr"), ("data", "label"),
    ("images", "label"), ("ct_scans", "masks"),
)  # fmt: skip
_NNUNET_CHANNEL: Final = "_0000"  # suffix of images


def _pairs(
    source: str, images: Mapping[str, Path], masks: Mapping[str, Path]
) -> list[tuple[str, Path, Path]]:
    """Return name, image and mask; raise DataError where one is without the other."""
    alone = sorted(images.keys() ^ masks.keys())
    if alone:
        raise DataError(
            f"{source}: {len(alone)} images or masks are without the other "
            f"({listed(alone)}); each image needs a mask of the same name"
        )
    return [(name, image, masks[name]) for name, image in images.items()]


def _is_bhsd(folder: Path) -> bool:
    return find_folder(folder, *_BHSD) is not None


def _open_bhsd(request: SourceRequest) -> Opened:
    root = request.find("bhsd", *_BHSD)
    pairs = _pairs("BHSD", *(images_in(root / name) for name in _BHSD))
    volumes = [Volume(image, MaskFiles((mask,), classes=True)) for _, image, mask in pairs]
    other = root.parent / "unlabel_2000"
    notes = (f"without labels, not read: {other.name}",) if other.is_dir() else ()
    return Opened(open_volumes(request, volumes), notes=notes)


def _is_instance(folder: Path) -> bool:
    root = find_folder(folder, *_INSTANCE)
    return root is not None and any(map(str.isdecimal, images_in(root / _INSTANCE[1])))


def _open_instance(request: SourceRequest) -> Opened:
    root = request.find("instance", *_INSTANCE)
    pairs = _pairs("INSTANCE", *(images_in(root / name) for name in _INSTANCE))
    volumes = [Volume(image, MaskFiles((mask,)), patient=name) for name, image, mask in pairs]
    return Opened(open_volumes(request, volumes))


def _is_mbh(folder: Path) -> bool:
    return _mbh_voxel_part(folder) is not None or find_folder(folder, _MBH_TABLE) is not None


def _open_mbh(request: SourceRequest) -> Opened:
    folder = request.folder("mbh")
    voxel, case = _mbh_voxel_part(folder), find_folder(folder, _MBH_TABLE)
    if voxel is not None:
        note = "{} has labels per study, not read: prepare it on its own"
        notes = (note.format(case.name),) if case else ()
        return Opened(open_volumes(request, _mbh_annotated(voxel)), notes=notes)
    if case is None:
        raise DataError(f"{folder}: not MBH-Seg, which has {_MBH_VOXEL} or {_MBH_TABLE}")
    return Opened(open_volumes(request, _mbh_cases(case)), label_level="study")


def _mbh_voxel_part(folder: Path) -> Path | None:
    """Return the folder whose folders hold an image and masks."""
    for place in (folder, folder / _MBH_VOXEL):
        if place.is_dir() and next(place.glob(f"*/{_MBH_RATERS}"), None):
            return place
    return None


def _mbh_annotated(folder: Path) -> list[Volume]:
    cases = sorted({path.parent for path in folder.glob(f"*/{_MBH_RATERS}")})
    missing = [case.name for case in cases if not (case / _MBH_IMAGE).is_file()]
    if missing:
        raise DataError(f"{folder}: no {_MBH_IMAGE} in {listed(missing)}")
    return [
        Volume(
            case / _MBH_IMAGE,
            MaskFiles(tuple(sorted(case.glob(_MBH_RATERS))), classes=True),
            patient=public_patient(case.name) or case.name,
            study=public_study(case.name),
        )
        for case in cases
    ]


def _mbh_cases(folder: Path) -> list[Volume]:
    rows = read_labels(folder / _MBH_TABLE, key="patientid_studyid")
    return _by_table(images_in(folder), rows, folder / _MBH_TABLE)


def _by_table(
    images: Mapping[str, Path], rows: Mapping[str, LabelRow], table: Path
) -> list[Volume]:
    """Return volumes with the rows ``name`` or ``name#frame``; raise DataError without a row."""
    named = {name.partition("#")[0] for name in rows}
    missing = [name for name in images if name not in named]
    if missing:
        raise DataError(f"{table}: no row for {len(missing)} volumes ({listed(missing)})")
    return [Volume(image, labels=_rows(rows, name)) for name, image in images.items()]


def _rows(rows: Mapping[str, LabelRow], name: str) -> Callable[[int], LabelRow | None]:
    return lambda frame: rows.get(f"{name}#{frame}", rows.get(name))


def _is_seg_cq500(folder: Path) -> bool:
    root = find_folder(folder, _SEG_CQ500, depth=3)
    return root is not None and next(root.glob(f"*/{_SEG_FILES[1]}"), None) is not None


def _open_seg_cq500(request: SourceRequest) -> Opened:
    root = request.find("seg-cq500", _SEG_CQ500, depth=3)
    names = [name.strip() for name in read_table(root / _SEG_CQ500, ["name"])["name"]]
    files = {name: [root / name / file for file in _SEG_FILES] for name in names}
    missing = [name for name, own in files.items() if not all(one.is_file() for one in own)]
    if missing:
        raise DataError(f"{root}: {' or '.join(_SEG_FILES)} is missing in {listed(missing)}")
    volumes = [
        Volume(image, MaskFiles((mask,)), patient=public_patient(name) or name, study=name)
        for name, (image, mask) in files.items()
    ]
    return Opened(open_volumes(request, volumes))


def _is_hemseg(folder: Path) -> bool:
    with_images = find_folder(folder, "data", _HEMSEG_MASKS) is not None
    return not with_images and any(_hemseg_masks(folder))


def _hemseg_masks(folder: Path) -> dict[str, Path]:
    """Return study without ``ID_`` → mask."""
    places = (folder / part / _HEMSEG_MASKS for part in _HEMSEG_PARTS)
    found = [images_in(place) for place in places if place.is_dir()]
    return {name: path for part in found for name, path in part.items()}


def _hemseg_study(one: Series) -> str:
    name = stem(one.slices[0].source.path)
    return (public_study(name) or one.study or name).removeprefix("ID_")


def _open_hemseg(request: SourceRequest) -> Opened:
    folder = request.folder("hemseg")
    masks = _hemseg_masks(folder) or _hemseg_masks(find_folder(folder, _HEMSEG_PARTS[0]) or folder)
    if not masks:
        raise DataError(f"{folder}: not HemSeg, which has masks in train/{_HEMSEG_MASKS}")
    if request.images is None:
        raise UsageError("HemSeg has masks only: give the images of RSNA 2019 with --images")
    found = [(one, _hemseg_study(one)) for one in scan_request(request, [request.images]).series]
    missing = sorted(masks.keys() - {study for _, study in found})
    if len(missing) == len(masks):
        raise DataError(f"{request.images}: no images of the masks of {folder} ({listed(missing)})")
    series = [
        ScannedSeries(
            one, None, request.limits, MaskFiles((masks[study],)), public_study=f"ID_{study}"
        )
        for one, study in found
        if study in masks
    ]
    note = f"{len(missing)} masks have no images in {request.images}: {listed(missing)}"
    return Opened(series, notes=(note,) if missing else ())


def _is_nifti(folder: Path) -> bool:
    return _own_folders(folder) is not None or (
        any(folder.glob("*.nii*")) and (folder / _OWN_TABLE).is_file()
    )


def _open_nifti(request: SourceRequest) -> Opened:
    if len(request.paths) != 1 or not request.paths[0].is_dir():
        raise UsageError("--source nifti takes one folder")
    folder = request.paths[0]
    places = _own_folders(folder)
    if places is None or request.labels is not None:
        return _open_own_table(request, places[0] if places else folder)
    images, masks = map(images_in, places)
    images = {name.removesuffix(_NNUNET_CHANNEL): path for name, path in images.items()}
    pairs = _pairs(str(folder), images, masks)
    return Opened(open_volumes(request, [Volume(i, MaskFiles((m,))) for _, i, m in pairs]))


def _own_folders(folder: Path) -> tuple[Path, Path] | None:
    for images, masks in _OWN_FOLDERS:
        if (folder / images).is_dir() and (folder / masks).is_dir():
            return folder / images, folder / masks
    return None


def _open_own_table(request: SourceRequest, folder: Path) -> Opened:
    path = request.labels or find_table([folder], [_OWN_TABLE])
    rows = {_own_key(name): row for name, row in read_labels(path).items()}
    volumes = _by_table(images_in(folder), rows, path)
    per_slice = any("#" in name for name in rows)
    return Opened(open_volumes(request, volumes), label_level="slice" if per_slice else "study")


def _own_key(name: str) -> str:
    """Return the key of a row: name of the file without folder and suffix, and ``#frame``."""
    path, mark, frame = name.partition("#")
    return stem(Path(path)) + mark + frame


BHSD: Final = Source(
    "bhsd", "BHSD", _is_bhsd, _open_bhsd,
    "BHSD, Wu et al. 2023; not for commercial use; images of RSNA 2019",
)  # fmt: skip
MBH: Final = Source(
    "mbh", "MBH-Seg 2025", _is_mbh, _open_mbh,
    "MBH-Seg challenge 2025; images of RSNA 2019, for non-commercial and academic use",
)  # fmt: skip
INSTANCE: Final = Source(
    "instance", "INSTANCE 2022", _is_instance, _open_instance,
    "INSTANCE 2022 (Li et al.), by registration; no redistribution",
)  # fmt: skip
SEG_CQ500: Final = Source(
    "seg-cq500", "Seg-CQ500", _is_seg_cq500, _open_seg_cq500,
    "Seg-CQ500 (Zenodo 8063221); images of CQ500, CC BY-NC-SA 4.0",
)  # fmt: skip
HEMSEG: Final = Source(
    "hemseg", "HemSeg", _is_hemseg, _open_hemseg,
    "HemSeg; images of RSNA 2019, for non-commercial and academic use",
)  # fmt: skip
NIFTI: Final = Source("nifti", "own NIfTI", _is_nifti, _open_nifti)
