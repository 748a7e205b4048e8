"""``ich phantom``: write synthetic head CT with known hemorrhages as DICOM."""

from __future__ import annotations

import json as json_text
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ich_cli.core.errors import UsageError
from ich_cli.core.labels import LABELS, SUBTYPES
from ich_cli.terminal import Json, Quiet, Seed, note, progress

if TYPE_CHECKING:
    from ich_cli.core.phantom import PhantomStudy

Out = Annotated[
    Path, typer.Argument(help="Folder to write into.", metavar="OUT", show_default=False)
]
Studies = Annotated[
    int, typer.Option("--studies", "-n", min=1, metavar="N", help="Number of studies.")
]
Kinds = Annotated[
    str,
    typer.Option(
        "--subtypes", metavar="LIST",
        help="Hemorrhages of every study: random, none, all, or a comma-separated list of "
        f"{', '.join(SUBTYPES)}.",
    ),
]  # fmt: skip
Size = Annotated[
    int, typer.Option("--size", min=64, max=1024, metavar="N", help="Number of rows and columns.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing studies.")]


def phantom(
    out: Out,
    studies: Studies = 1,
    seed: Seed = 0,
    subtypes: Kinds = "random",
    size: Size = 512,
    overwrite: Overwrite = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write synthetic head CT as DICOM, with exact labels and masks.

    The images contain no patient data: use them for trials, tests and demos. The folder also gets
    labels.csv, and each study masks.npz.

    Example: ich phantom examples --studies 2 --seed 7 --subtypes epidural,subdural
    """
    from ich_cli.core.phantom import write_studies

    wanted = parse_subtypes(subtypes)
    summaries: list[dict[str, Any]] = []
    with progress("Writing studies", studies, unit="studies", quiet=quiet) as advance:

        def done(study: PhantomStudy) -> None:
            summaries.append(_summary(out, len(summaries) + 1, study))
            advance(1)

        table = write_studies(
            out, studies, seed, wanted, size=size, overwrite=overwrite, on_study=done
        )
    if json:
        result = {"table": str(table), "studies": summaries}
        sys.stdout.write(json_text.dumps(result, ensure_ascii=False) + "\n")
    else:
        sys.stdout.writelines(f"{_line(one)}\n" for one in summaries)
    note(f"labels of all slices: {table}", quiet=quiet)


def parse_subtypes(given: str) -> tuple[str, ...] | None:
    """Return the subtypes of ``--subtypes``; None for a random selection.

    Raises
    ------
    UsageError
        If a name is not a subtype.
    """
    words: dict[str, tuple[str, ...] | None] = {"random": None, "none": (), "all": SUBTYPES}
    if given in words:
        return words[given]
    names = tuple(dict.fromkeys(name.strip() for name in given.split(",")))
    unknown = [name for name in names if name not in SUBTYPES]
    if unknown:
        raise UsageError(
            f"--subtypes {given}: {unknown[0]!r} is none of random, none, all, "
            f"{', '.join(SUBTYPES)}"
        )
    return names


def _summary(out: Path, number: int, study: PhantomStudy) -> dict[str, Any]:
    counts = study.labels.sum(axis=0).tolist()
    return {
        "folder": str(out / f"study-{number:04d}"),
        "slices": len(study.hu),
        "positive": dict(zip(LABELS, counts, strict=True)),
    }


def _line(one: dict[str, Any]) -> str:
    found = [f"{name} on {count}" for name, count in one["positive"].items() if count]
    detail = ", ".join(found[1:]) or "no hemorrhage"
    return f"{one['folder']}: {one['slices']} slices, {detail}"
