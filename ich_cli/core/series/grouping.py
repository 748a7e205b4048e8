"""Group slices into series."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ich_cli.core.series.ordering import in_order
from ich_cli.core.series.types import Refused, Scan, Series, SliceRef


def group(found: Iterable[SliceRef | Refused]) -> Scan:
    """Group slices into series, each in anatomical order.

    Parameters
    ----------
    found
        Slices and refused files, in the order of the files.

    Returns
    -------
    Scan
        A refused file belongs to the first series with its study and series UID. A refused frame
        belongs to the series of another frame of its file.
    """
    slices: dict[str, list[SliceRef]] = {}
    refused: list[Refused] = []
    for one in found:
        if isinstance(one, Refused):
            refused.append(one)
        else:
            slices.setdefault(one.series, []).append(one)
    owners = _owners(slices)
    of_series: dict[str, list[Refused]] = {}
    others: list[Refused] = []
    for one in refused:
        owner = owners.get((one.id.path,)) or owners.get((one.id.study_uid, one.id.series_uid))
        (others if owner is None else of_series.setdefault(owner, [])).append(one)
    series = (_series(refs, of_series.get(key, [])) for key, refs in slices.items())
    return Scan(tuple(series), tuple(others))


def _owners(slices: dict[str, list[SliceRef]]) -> dict[tuple[str, ...], str]:
    """Map file names, and pairs of study and series UID, to the first series that has them."""
    owners: dict[tuple[str, ...], str] = {}
    for key, refs in slices.items():
        for ref in refs:
            owners.setdefault((ref.id.path,), key)
            if ref.id.series_uid:
                owners.setdefault((ref.id.study_uid, ref.id.series_uid), key)
    return owners


def _series(refs: list[SliceRef], refused: list[Refused]) -> Series:
    ordered, notes = in_order(refs)
    return Series(
        study=ordered[0].id.study_uid,
        slices=tuple(replace(ref, notes=(*ref.notes, *notes)) for ref in ordered),
        refused=tuple(refused),
        notes=notes,
        patient=ordered[0].patient,
    )
