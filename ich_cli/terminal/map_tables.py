"""Tables of the heat-map benchmark, for the terminal and in Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ich_cli.core.labels import RESEARCH_ONLY
from ich_cli.terminal import console

if TYPE_CHECKING:
    from rich.table import Table

    from ich_cli.core.evaluate import MapSummary

_SHOWN = ("any", "subtypes")
_TITLES = {"any": "maps of any", "subtypes": "maps of the five subtypes together"}


def print_scores(
    about: dict[str, Any], rows: Sequence[MapSummary], *, as_json: bool = False
) -> None:
    """Print two short tables, or everything as one line of JSON."""
    out = console.stdout()
    if as_json:
        rounded = [
            {k: round(v, 6) if isinstance(v, float) else v for k, v in asdict(row).items()}
            for row in rows
        ]
        out.file.write(json.dumps({**about, "rows": rounded, "use": RESEARCH_ONLY}) + "\n")
        return
    for group in _SHOWN:
        of_group = [row for row in rows if row.label == group]
        if of_group:
            out.print(_table(group, of_group))
    for line in _notes(about):
        out.print(line, style="dim", soft_wrap=True)


def markdown(about: dict[str, Any], rows: Sequence[MapSummary]) -> str:
    """Return the tables in Markdown, for documentation."""
    lines = []
    for group in _SHOWN:
        of_group = [row for row in rows if row.label == group]
        if not of_group:
            continue
        one = of_group[0]
        lines += [
            f"**{_title(group, one)}; chance {one.chance:.3f}**",
            "",
            "| method | pointing (95 %) | mass | drop | random | better | empty |",
            "|---|---|---|---|---|---|---|",
            *(f"| {row.method} | {' | '.join(_cells(row))} |" for row in of_group),
            "",
        ]
    return "\n".join([*lines, *_notes(about)[:2], ""])


def _title(group: str, row: MapSummary) -> str:
    return f"{_TITLES[group]}: {row.maps} of {row.patients} patients, mean p {row.probability:.3f}"


def _cells(row: MapSummary) -> list[str]:
    pointing = f"{row.pointing:.3f} ({row.pointing_low:.3f}-{row.pointing_high:.3f})"
    numbers = (row.mass, row.drop, row.drop_random, row.better)
    return [pointing, *(f"{number:.3f}" for number in numbers), str(row.empty)]


def _table(group: str, rows: Sequence[MapSummary]) -> Table:
    from rich.table import Table

    one = rows[0]
    table = Table(title=_title(group, one))
    table.add_column("method", no_wrap=True)
    for name in ("pointing (95 %)", "mass", "drop", "random", "better", "empty"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(row.method, *_cells(row))
    table.add_section()
    table.add_row("chance", f"{one.chance:.3f}", f"{one.chance:.3f}", style="dim")
    return table


def _notes(about: dict[str, Any]) -> list[str]:
    return [
        f"{about['slices']} slices: {about['data']}. {about['seen']}",
        f"Bundle {about['bundle']}, trained on {about['trained_on']}.",
        "pointing: share of maps with their peak in the mask, interval by bootstrap over patients. "
        "mass: share of the map in the mask. chance: share of the head in the mask. drop, random: "
        "drop of the probability when the hottest tenth of the head, or a random region, is "
        "replaced by healthy-looking tissue. better: share of maps with drop above random. "
        "centre: baseline, a spot in the middle of every head.",
        RESEARCH_ONLY,
    ]
