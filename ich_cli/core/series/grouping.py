"""Group slices into series: one patient, one study, one stack."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import combinations
from operator import mul
from typing import Final, NamedTuple, TypeVar

from ich_cli.core.dicom import Vector
from ich_cli.core.series.ordering import in_order, mean_normal, position
from ich_cli.core.series.types import Refused, Scan, Series, SliceRef
from ich_cli.core.system import derived_uid

SHARED_SERIES: Final = "SeriesInstanceUID is used in several studies: taken apart"
SHARED_STUDY: Final = "StudyInstanceUID is used for several patients: taken apart"
STACKS: Final = "several stacks with one SeriesInstanceUID: taken apart"
NO_STUDY: Final = "no StudyInstanceUID: the patient's slices in one folder are one study"
SINGLES: Final = "each slice has a SeriesInstanceUID of its own: stacked by position"

_FEWEST_SINGLES: Final = 3
_SAME_DIRECTION: Final = 0.996  # cosine of 5 degrees

Refs = list[SliceRef]
T = TypeVar("T")
K = TypeVar("K")


class _Key(NamedTuple):
    """Patient, study and series of a slice, as the file states them."""

    patient: str
    study: str
    series: str
    place: str
    """Folder or zip, where the file states no study or no series."""


def group(found: Iterable[SliceRef | Refused]) -> Scan:
    """Group slices into series, each in anatomical order.

    Slices of two patients or two studies are never one series, nor slices that differ in
    orientation or matrix. Stacks that overlap, such as those of two reconstruction kernels, are
    taken apart. Where each slice of a study has a SeriesInstanceUID of its own, the study is
    stacked by position.

    Parameters
    ----------
    found
        Slices and refused files, in the order of the files.

    Returns
    -------
    Scan
        Slices without a StudyInstanceUID have a derived one for their folder. A refused file
        belongs to the first series with its study and series UID. A refused frame
        belongs to the series of another frame of its file.
    """
    slices: Refs = []
    refused: list[Refused] = []
    for one in found:
        if isinstance(one, Refused):
            refused.append(one)
        else:
            slices.append(one)
    series = [_series(*stack) for stack in _all_stacks(slices)]
    owners = _owners(series)
    of_series: list[list[Refused]] = [[] for _ in series]
    others: list[Refused] = []
    for file in refused:
        ids = file.id
        owner = owners.get((ids.path,), owners.get((ids.study_uid, ids.series_uid)))
        (others if owner is None else of_series[owner]).append(file)
    return Scan(
        tuple(
            replace(one, refused=tuple(files)) for one, files in zip(series, of_series, strict=True)
        ),
        tuple(others),
    )


def _owners(series: Sequence[Series]) -> dict[tuple[str, ...], int]:
    """Map file names, and pairs of study and series UID, to the first series that has them."""
    owners: dict[tuple[str, ...], int] = {}
    for number, one in enumerate(series):
        for ref in one.slices:
            owners.setdefault((ref.id.path,), number)
            if ref.id.series_uid:
                owners.setdefault((ref.id.study_uid, ref.id.series_uid), number)
                owners.setdefault(("", ref.id.series_uid), number)
    return owners


def _all_stacks(slices: Refs) -> list[tuple[Refs, tuple[str, ...]]]:
    """Return the slices and notes of each series, in the order of their first slices."""
    order = {id(ref): number for number, ref in enumerate(slices)}
    stated = _partition(slices, _stated)
    studies_of = _distinct(stated, lambda key: key.series, lambda key: key[:2])
    patients_of = _distinct(stated, lambda key: key.study, lambda key: key.patient)
    singles = _studies_of_singles(stated)
    stacks: list[tuple[Refs, tuple[str, ...]]] = []
    for key, refs in stated.items():
        if key[:2] in singles:
            continue
        notes = [SHARED_SERIES] if key.series and studies_of[key.series] > 1 else []
        notes += [SHARED_STUDY] if key.study and patients_of[key.study] > 1 else []
        parts = _stacks(refs)
        notes += [STACKS] if len(parts) > 1 else []
        stacks += [(part, tuple(notes)) for part in parts]
    stacks += [(part, (SINGLES,)) for refs in singles.values() for part in _stacks(refs)]
    return sorted(stacks, key=lambda stack: order[id(stack[0][0])])


def _stated(ref: SliceRef) -> _Key:
    source = ref.source
    place = source.path if source.entry is not None else source.path.parent
    study, series = ref.id.study_uid, ref.id.series_uid
    return _Key(ref.patient, study, series, "" if study and series else str(place))


def _partition(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Group items by a key, in the order of their first ones."""
    parts: dict[K, list[T]] = {}
    for item in items:
        parts.setdefault(key(item), []).append(item)
    return parts


def _distinct(
    keys: Iterable[_Key], name: Callable[[_Key], str], owner: Callable[[_Key], object]
) -> dict[str, int]:
    """Count the distinct owners of each name."""
    owners: dict[str, set[object]] = {}
    for key in keys:
        owners.setdefault(name(key), set()).add(owner(key))
    return {one: len(found) for one, found in owners.items()}


def _studies_of_singles(stated: dict[_Key, Refs]) -> dict[tuple[str, ...], Refs]:
    """Return the slices of studies in which each series has one slice, all at other positions."""
    studies = _partition(stated, lambda key: key[:2])
    found: dict[tuple[str, ...], Refs] = {}
    for study, keys in studies.items():
        refs = [ref for key in keys for ref in stated[key]]
        single = len(keys) == len(refs) >= _FEWEST_SINGLES and all(key.series for key in keys)
        if single and study[1] and all(map(_all_apart, _alike(refs))):
            found[study] = refs
    return found


def _all_apart(refs: Refs) -> bool:
    """Return whether no two slices are at the same position, or at none."""
    return len(set(_positions(refs))) == len(refs)


def _stacks(refs: Refs) -> list[Refs]:
    """Split the slices of a series by orientation and matrix, and where stacks overlap."""
    return [part for alike in _alike(refs) for part in _not_overlapping(alike)]


def _alike(refs: Refs) -> list[Refs]:
    """Split by matrix and orientation; slices without an orientation go with the first ones."""
    parts: list[Refs] = []
    for ref in refs:
        fitting = (part for part in parts if _is_alike(part[0], ref))
        part = next(fitting, None)
        if part is None:
            parts.append([ref])
        else:
            part.append(ref)
    return parts


def _is_alike(one: SliceRef, other: SliceRef) -> bool:
    if (one.format.rows, one.format.columns) != (other.format.rows, other.format.columns):
        return False
    a, b = one.geometry, other.geometry
    return _is_parallel(a.row_direction, b.row_direction) and _is_parallel(
        a.column_direction, b.column_direction
    )


def _is_parallel(a: Vector | None, b: Vector | None) -> bool:
    return a is None or b is None or a == b or sum(map(mul, a, b)) >= _SAME_DIRECTION


_ATTRIBUTES: Final[tuple[Callable[[SliceRef], object], ...]] = (
    lambda ref: ref.stack[:1],  # kernel
    lambda ref: ref.geometry.thickness,
    lambda ref: ref.stack[1:2],  # contrast agent
    lambda ref: ref.stack[2:3],  # temporal position
    lambda ref: ref.stack[3:],  # acquisition
)
"""Attributes by which overlapping stacks differ, the most telling first."""


def _not_overlapping(refs: Refs) -> list[Refs]:
    """Split by the first attribute whose values are stacks of several slices that overlap."""
    for attribute in _ATTRIBUTES:
        parts = list(_partition(refs, attribute).values())
        if len(parts) > 1 and _overlap(parts):
            return [stack for part in parts for stack in _not_overlapping(part)]
    return [refs]


def _overlap(parts: Sequence[Refs]) -> bool:
    """Return whether all parts have several slices, and two of them share much of their range."""
    if any(len(part) < 2 for part in parts):
        return False
    ranges = []
    for part in parts:
        positions = _positions(part)
        if None in positions:
            return False
        known = [at for at in positions if at is not None]
        ranges.append((min(known), max(known)))
    return any(
        min(a[1], b[1]) - max(a[0], b[0]) > 0.5 * min(a[1] - a[0], b[1] - b[0])
        for a, b in combinations(ranges, 2)
    )


def _positions(refs: Refs) -> list[float | None]:
    normal = mean_normal(refs)
    return [position(ref, normal) for ref in refs]


def _series(refs: Refs, notes: tuple[str, ...]) -> Series:
    ordered, about = in_order(refs)
    key = _stated(ordered[0])
    study = key.study or derived_uid(f"{key.patient} {key.place}")
    notes = (*notes, *(() if key.study else (NO_STUDY,)), *about)
    return Series(
        study=study,
        slices=tuple(
            replace(ref, id=ref.id._replace(study_uid=study), notes=(*ref.notes, *notes))
            for ref in ordered
        ),
        notes=notes,
        patient=ordered[0].patient,
    )
