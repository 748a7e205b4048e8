"""Shortcuts to what a scan finds."""

from __future__ import annotations

from pathlib import Path

import pytest

from ich_cli.core.dicom import DEFAULT_LIMITS, Limits
from ich_cli.core.errors import InputError
from ich_cli.core.series import Scan, SliceRef, load, scan


def all_slices(found: Scan) -> list[SliceRef]:
    """Return the slices of all series."""
    return [ref for one in found.series for ref in one.slices]


def errors(found: Scan) -> list[InputError]:
    """Return the errors of all refused files and frames."""
    return [one.error for one in found.all_refused()]


def slices_of_files(folder: Path) -> list[SliceRef]:
    """Return the slices of the files of a folder, each scanned alone: copies stay slices."""
    return [ref for path in sorted(folder.iterdir()) for ref in all_slices(scan([path]))]


def only_slice(path: Path) -> SliceRef:
    """Return the one slice of a file in which nothing is refused."""
    found = scan([path])
    assert errors(found) == []
    (ref,) = all_slices(found)
    return ref


def only_error(path: Path, limits: Limits = DEFAULT_LIMITS) -> InputError:
    """Return the one error of a file without slices."""
    found = scan([path], limits)
    assert found.series == ()
    (error,) = errors(found)
    return error


def refusal(path: Path) -> InputError:
    """Return the one error of a file, whether scanning or loading finds it."""
    found = scan([path])
    (entry,) = (*all_slices(found), *errors(found))
    if isinstance(entry, InputError):
        return entry
    with pytest.raises(InputError) as caught:
        load(entry)
    return caught.value
