"""Tables of predictions for people, most urgent first, and the summary of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from heapq import nlargest
from itertools import count
from typing import TYPE_CHECKING

from ich_cli.core.labels import ANY, LABELS, RESEARCH_ONLY, SHORT
from ich_cli.terminal.console import plain

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from ich_cli.core.predict import Tally
    from ich_cli.core.study import Probabilities, SlicePrediction, StudyPrediction

SHOWN = 20
"""Maximum number of rows in a table for people."""

REASONS = 4
"""Maximum number of reasons for refused files in the summary."""


def slices_table(rows: Iterable[SlicePrediction]) -> Table | None:
    """Return a table of the slices with the highest probability of `any`, if there are any."""
    number = count()
    predicted = ((one.probabilities, one, next(number)) for one in rows if one.probabilities)
    top = nlargest(SHOWN, predicted, key=lambda found: found[0][ANY])
    table = _table("Slice", len(top), next(number))
    for probabilities, one, _ in top:
        name = f"{one.id.path} #{one.id.frame}" if one.id.frame > 1 else one.id.path
        _add(table, [name], probabilities, one.positive)
    return table if top else None


def studies_table(studies: Sequence[StudyPrediction]) -> Table | None:
    """Return a table of the most urgent studies, each with its top slice."""
    predicted = [(study.probabilities, study) for study in studies if study.probabilities]
    table = _table("Study and its top slice", min(SHOWN, len(predicted)), len(predicted))
    for probabilities, study in predicted[:SHOWN]:
        worst = [study.worst.path] if study.worst else []
        remarks = [f"quality: {reason.text}" for reason in study.quality]
        remarks += [study.note] if study.note else []
        lines = [f"{study.verdict}: {study.study_uid}", *worst, *remarks]
        _add(table, lines, probabilities, study.positive)
    return table if predicted else None


def summary(tally: Tally) -> list[str]:
    """Summarize a run in a few lines."""
    studies = _count(len(tally.studies), "study", "studies")
    parts = [
        _count(tally.slices, "slice"),
        f"{studies}, {len(tally.positive)} with a positive slice",
        *(f"{n} {what}" for n, what in _remarks(tally) if n),
        _speed(tally),
    ]
    lines = [*_refusals(tally), " · ".join(parts), *filter(None, [tally.engine])]
    lines += [f"written: {', '.join(map(str, tally.written))}"] if tally.written else []
    return [*lines, RESEARCH_ONLY]


def nothing_read(tally: Tally) -> str:
    """Return one line for a run without any prediction, with the reason for the first file."""
    if not tally.refused:
        return "no slice was read"
    (_, note), one = next(iter(tally.refused.items()))
    reason = f"{one.path}: {note}"
    return (
        reason if tally.total == 1 else f"none of {tally.total} could be read, for example {reason}"
    )


def _refusals(tally: Tally) -> list[str]:
    """Return a line for each of the main reasons for refused files; failed files come first."""
    reasons = sorted(tally.refused.items(), key=lambda item: (item[0][0], -item[1].files))
    lines = []
    for (status, note), (path, files) in reasons[:REASONS]:
        more = f" and {files - 1:,} more" if files > 1 else ""
        lines.append(f"{status}: {path}{more}: {note}")
    if len(reasons) > REASONS:
        lines.append("more reasons: see the columns status and note")
    return lines


def _remarks(tally: Tally) -> list[tuple[int, str]]:
    return [
        (tally.repaired, "repaired"),
        (tally.skipped, "skipped"),
        (tally.failed, "failed"),
        (tally.kept, "from an earlier run"),
    ]


def _speed(tally: Tally) -> str:
    minutes, seconds = divmod(tally.seconds, 60)
    spent = f"{minutes:.0f} min {seconds:.0f} s" if minutes else f"{seconds:.1f} s"
    return f"{spent}, {(tally.total - tally.kept) / max(tally.seconds, 1e-3):.1f} slices/s"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _table(what: str, shown: int, total: int) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, header_style="dim", pad_edge=False, caption_justify="left")
    if shown < total:
        table.caption = f"{shown} of {total:,}; -o FILE writes all"
    table.add_column(f"{what} (most urgent first)", overflow="fold", ratio=1)
    for label in LABELS:
        table.add_column(SHORT[label], justify="right", no_wrap=True, min_width=4)
    return table


def _add(
    table: Table, names: Sequence[str], probabilities: Probabilities, positive: Sequence[str]
) -> None:
    from rich.text import Text

    cells = zip(probabilities, LABELS, strict=True)
    table.add_row(
        Text("\n".join(map(plain, names))), *(_cell(p, label in positive) for p, label in cells)
    )


def _cell(probability: float, positive: bool) -> Text:
    from rich.text import Text

    return Text(f"{probability:.2f}", style="bold red" if positive else "dim")
