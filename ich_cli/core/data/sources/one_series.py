"""Choice of one series per study, for data sets with labels per study."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from ich_cli.core.dicom import Note, SliceId
from ich_cli.core.errors import NotApplicableError

if TYPE_CHECKING:
    from ich_cli.core.series import Refused, Series

_SHARP: Final = re.compile(r"BONE|LUNG|EDGE|DETAIL|SHARP|^[BHJ][rf]?[5-9]\d", re.IGNORECASE)
_CONTRAST: Final = re.compile(r"POST|CONTRAST|CECT|\bC\+", re.IGNORECASE)
_PLAIN: Final = re.compile(r"PRE|NON|PLAIN|WITHOUT|\bC-", re.IGNORECASE)
_THICKNESS: Final = (2.0, 6.0)


def choose_series(series: Iterable[Series]) -> tuple[list[Series], list[Refused]]:
    """Return one series of each study, and the others with the reason.

    Series without contrast agent come first, then those of a brain kernel, then those of 2 to 6 mm,
    then the longest.
    """
    from ich_cli.core.series import Refused

    studies: dict[tuple[str, str], list[Series]] = {}
    for one in series:
        studies.setdefault((one.patient, one.study), []).append(one)
    chosen, others = [], []
    for candidates in studies.values():
        best = max(candidates, key=_rank)
        chosen.append(best)
        for one in candidates:
            if one is not best:
                id = one.slices[0].id
                error = NotApplicableError(
                    id.path, f"another series of the study is used: {_describe(best)}"
                )
                others.append(Refused(error, SliceId(id.path, 1, id.study_uid, id.series_uid)))
    return chosen, others


def _rank(one: Series) -> tuple[bool, bool, bool, int]:
    first = one.slices[0]
    folder = first.source.path.parent.name
    contrast = any(Note.CONTRAST in ref.notes for ref in one.slices[:1])
    contrast |= bool(_CONTRAST.search(folder)) and not _PLAIN.search(folder)
    sharp = bool(_SHARP.search(_kernel(one)) or _SHARP.search(folder))
    thickness = first.geometry.thickness or 0.0
    return not contrast, not sharp, _THICKNESS[0] <= thickness <= _THICKNESS[1], len(one)


def _kernel(one: Series) -> str:
    stack: Sequence[str] = one.slices[0].stack
    return stack[0] if stack else ""


def _describe(one: Series) -> str:
    thickness = one.slices[0].geometry.thickness
    size = f" of {thickness:g} mm" if thickness else ""
    kernel = f", kernel {_kernel(one)}" if _kernel(one) else ""
    return f"{len(one)} slices{size}{kernel}"
