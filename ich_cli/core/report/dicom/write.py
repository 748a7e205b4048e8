"""Write a study's Structured Report and maps as DICOM files."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ich_cli.core.errors import IchError, OutputError
from ich_cli.core.report.study_result import StudyResult
from ich_cli.core.series import read_source, shows_patient
from ich_cli.core.system import replacing_folder

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from ich_cli.core.report.dicom.structured_report import SourceInstance
    from ich_cli.core.report.dicom.uids import Identity

REPORT: Final = "report.dcm"
MAPS: Final = "map-{:04d}.dcm"
MAP_LABEL: Final = "any"
"""Label of the maps."""


def write_dicom(
    result: StudyResult, folder: Path, *, keep_patient: bool = False, when: datetime | None = None
) -> list[Path]:
    """Write a study's Structured Report and a Secondary Capture series of the maps.

    Parameters
    ----------
    result
        Study from `study_results`.
    folder
        Created, or replaced if it contains an earlier report: ``report.dcm``, ``map-0001.dcm`` …
    keep_patient
        Copy the elements by which an archive files: the patient's name, id, birth date and sex, and
        the study's date, time, id, accession number and referring physician. Otherwise they are
        empty.
    when
        Time of the report; None for now. Equal content and time give equal bytes.

    Returns
    -------
    list of Path
        The report first, then the maps in anatomical order. Slices whose pixels may show
        patient data have no map; neither do slices of a model without a feature map.

    Raises
    ------
    IchError
        If no slice has both a prediction and UIDs.
    OutputError
        If it cannot be written, or `folder` contains other files.
    """
    from ich_cli.core.report.dicom.structured_report import make_report
    from ich_cli.core.report.dicom.uids import Identity

    if result.slices and not any(one.ref.is_dicom for one in result.slices):
        raise IchError("no DICOM output: NIfTI files and pictures are no DICOM source")
    slices = _sources(result, keep_patient)
    if not slices:
        raise IchError("no DICOM output: no slice of a DICOM file has a prediction and UIDs")
    identity = Identity.of(result, when or datetime.now(), f"keep {keep_patient}")
    _check_replaceable(folder)
    with replacing_folder(folder) as new:
        _write(make_report(result, slices, identity), new / REPORT, identity)
        names = [REPORT]
        for image in _images(result, slices, identity):
            names.append(MAPS.format(len(names)))
            _write(image, new / names[-1], identity)
    return [folder / name for name in names]


def _sources(result: StudyResult, keep_patient: bool) -> list[SourceInstance]:
    from ich_cli.core.report.dicom.structured_report import SourceInstance, default_class

    found: list[SourceInstance] = []
    for one in result.slices:
        if one.ref.id.sop_uid and one.ref.id.series_uid and one.ref.is_dicom:
            source = read_source(one.ref, result.limits, keep_patient=keep_patient)
            source.SOPClassUID = default_class(source)
            found.append(SourceInstance(one, source))
    return found


def _images(
    result: StudyResult, slices: list[SourceInstance], identity: Identity
) -> Iterator[Dataset]:
    from ich_cli.core.report.dicom.secondary_capture import make_map
    from ich_cli.core.report.pictures import explain_slice

    number = 0
    for one in slices:
        if shows_patient(one.slice.ref, result.limits):
            continue
        mapped = explain_slice(result, one.slice, [MAP_LABEL])
        if not mapped.maps:
            return
        number += 1
        yield make_map(mapped, MAP_LABEL, one.row.by_label()[MAP_LABEL], one, number, identity)


def _check_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{folder} is a file: choose another folder for the report")
    other = [one.name for one in folder.iterdir() if not _is_ours(one.name)]
    if other:
        raise OutputError(f"{folder} contains other files ({len(other)}): choose another folder")


def _is_ours(name: str) -> bool:
    return name == REPORT or (name.startswith("map-") and name.endswith(".dcm"))


def _write(dataset: Dataset, path: Path, identity: Identity) -> None:
    """Write an instance, with the report's time in place of highdicom's clock."""
    from pydicom.valuerep import DA, DT, TM

    moment = identity.when.replace(microsecond=0)
    dataset.InstanceCreationDate = DA(moment.date())
    dataset.InstanceCreationTime = TM(moment.time())
    for item in dataset.get("ContributingEquipmentSequence", ()):
        item.ContributionDateTime = DT(moment)
    dataset.save_as(path, enforce_file_format=True)
