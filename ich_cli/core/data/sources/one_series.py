"""Choice of the series of each study, for data sets with labels per study."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ich_cli.core.dicom import Note, SliceId
from ich_cli.core.errors import NotApplicableError

if TYPE_CHECKING:
    from ich_cli.core.series import Refused, Series
    from ich_cli.core.study import Candidate

_CONTRAST: Final = re.compile(r"POST|CONTRAST|CECT|\bC\+", re.IGNORECASE)
_PLAIN: Final = re.compile(r"PRE|NON|PLAIN|WITHOUT|\bC-", re.IGNORECASE)


def choose_per_study(series: Iterable[Series]) -> tuple[list[Series], list[Refused]]:
    """Return the series of each study that `predict` uses, and the others with the reason."""
    from ich_cli.core.series import Refused
    from ich_cli.core.study import choose_series

    studies: dict[tuple[str, str], list[Series]] = {}
    for one in series:
        studies.setdefault((one.patient, one.study), []).append(one)
    chosen, others = [], []
    for members in studies.values():
        candidates = [_candidate(one) for one in members]
        used = choose_series(candidates)
        chosen += [members[k] for k in used]
        best = [f"{candidates[k].slices} slices{candidates[k].about(' of ')}" for k in used]
        reason = f"another series of the study is used: {'; '.join(best)}"
        for id in (one.slices[0].id for k, one in enumerate(members) if k not in used):
            unused = SliceId(id.path, 1, id.study_uid, id.series_uid)
            others.append(Refused(NotApplicableError(id.path, reason), unused))
    return chosen, others


def _candidate(one: Series) -> Candidate:
    """Describe a series by its headers, and by its folder where they lack kernel or contrast."""
    from ich_cli.core.study import Candidate, SliceFacts

    facts = [
        SliceFacts(ref.geometry.along_normal(), ref.geometry.thickness,
                   contrast=Note.CONTRAST in ref.notes)
        for ref in one.slices
    ]  # fmt: skip
    found = Candidate.from_slices(one, "", facts)
    folder = one.slices[0].source.path.parent.name
    contrast = _CONTRAST.search(folder) and not _PLAIN.search(folder)
    return replace(found, kernel=found.kernel or folder, contrast=found.contrast or bool(contrast))
