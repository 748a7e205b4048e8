"""``ich explain``: a picture of where the model looked."""

from __future__ import annotations

import json as json_text
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ich_cli.console import note, progress, warn
from ich_cli.core.errors import InputError, NothingFoundError, UsageError
from ich_cli.core.labels import ANY, LABELS, RESEARCH_ONLY
from ich_cli.options import Device, Json, Limit, Output, Paths, Quiet, Weights, parse_limits

if TYPE_CHECKING:
    from ich_cli.core.config import Limits
    from ich_cli.core.gradcam import Explanation
    from ich_cli.core.predictor import Predictor
    from ich_cli.core.reading import Entry

Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--label", "-l", metavar="LABEL", show_default=False,
        help=f"Explain this label; may be repeated. One of {', '.join(LABELS)}.",
    ),
]  # fmt: skip
AllLabels = Annotated[bool, typer.Option("--all-labels", help="Explain all six.")]
Method = Annotated[
    str,
    typer.Option("--method", help="gradcam, hirescam, gradcam++, xgradcam or layercam."),
]
Frame = Annotated[
    int | None,
    typer.Option(
        "--frame", min=1, metavar="N", show_default=False,
        help="Frame of a multi-frame file; else the one most likely to show a hemorrhage.",
    ),
]  # fmt: skip

_ENDINGS = (".dcm", ".dicom", ".dic", ".ima")


def explain(
    paths: Paths,
    output: Output = None,
    label: Labels = None,
    all_labels: AllLabels = False,
    method: Method = "gradcam",
    frame: Frame = None,
    weights: Weights = None,
    device: Device = "auto",
    limit: Limit = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Show where the model looked: the slice beside a map for each label.

    Of a folder, a zip or several files, the slice most likely to show a hemorrhage is taken.
    Without -o the picture is written to the current folder as NAME.explain.png.

    Example: ich explain scan.dcm -o scan.png --label subdural
    """
    if label and all_labels:
        raise UsageError("--all-labels already has every --label; give one of the two")
    for one in label or ():
        if one not in LABELS:
            raise UsageError(f"--label {one}: a label is one of {', '.join(LABELS)}")
    limits = parse_limits(limit)
    entries = _find(paths, limits, quiet)
    predictor = _load(weights, device, quiet)
    index = _choose(predictor, entries, frame, limits, quiet)
    wanted = LABELS if all_labels else tuple(dict.fromkeys(label or ()))
    explanation = _explain(predictor, entries, index, wanted, method, limits)
    picture = output or Path(default_name(explanation.ct.id.path, frame))
    _write(picture, explanation, predictor)
    _tell(picture, explanation, predictor, chosen=bool(wanted), json=json, quiet=quiet)


def default_name(path: str, frame: int | None = None) -> str:
    """Return the picture's name for a file: its own without folders and ending.

    >>> default_name("scans/a.zip!series/IM.1.dcm")
    'IM.1.explain.png'
    """
    name = PurePosixPath(path.replace("\\", "/").replace("!", "/")).name
    stem = name[: name.rindex(".")] if name.lower().endswith(_ENDINGS) else name
    return f"{stem or 'slice'}{f'.frame{frame}' if frame else ''}.explain.png"


def _find(paths: list[Path], limits: Limits, quiet: bool) -> list[Entry]:
    from ich_cli.core.series import scan

    with progress("Looking for slices", unit="files", quiet=quiet) as advance:
        return scan(paths, limits, lambda count: advance(1))


def _load(weights: str | None, device: str, quiet: bool) -> Predictor:
    with progress("Loading the model", unit="", quiet=quiet):
        from ich_cli.core.predictor import Predictor  # torch: seconds

        return Predictor.load(weights, device=device)


def _choose(
    predictor: Predictor, entries: list[Entry], frame: int | None, limits: Limits, quiet: bool
) -> int:
    """Return the number of the entry to explain."""
    slices = [
        index
        for index, entry in enumerate(entries)
        if not isinstance(entry, InputError) and frame in (None, entry.id.frame)
    ]
    if not slices:
        if frame and not all(isinstance(entry, InputError) for entry in entries):
            raise UsageError(f"--frame {frame}: there is no such frame")
        raise next(entry for entry in entries if isinstance(entry, InputError))
    if len(slices) == 1:
        return slices[0]
    best: tuple[float, int] | None = None
    candidates = set(slices)
    with progress("Predicting", len(entries), quiet=quiet) as advance:
        for index, row in enumerate(predictor.stream(entries, limits=limits)):
            advance(1)
            if row.probabilities and index in candidates:
                found = (row.probabilities[ANY], -index)  # of equals the first
                best = found if best is None else max(best, found)
    if best is None:
        raise NothingFoundError("no slice could be read; ich predict tells of each file why")
    return -best[1]


def _explain(
    predictor: Predictor,
    entries: list[Entry],
    index: int,
    labels: tuple[str, ...],
    method: str,
    limits: Limits,
) -> Explanation:
    from ich_cli.core.gradcam import explain as explain_slice

    ct, around = predictor.read(entries, index, limits)
    return explain_slice(predictor, ct, labels, method=method, neighbours=around)


def _write(path: Path, explanation: Explanation, predictor: Predictor) -> None:
    from ich_cli.core.panel import Panel, write_panel

    panel = Panel(
        ct=explanation.ct,
        maps=explanation.maps,
        probabilities=explanation.probabilities,
        thresholds=predictor.thresholds,
        method=explanation.method,
        caveat=predictor.caveat,
    )
    write_panel(path, panel)


def _tell(
    picture: Path,
    explanation: Explanation,
    predictor: Predictor,
    *,
    chosen: bool,
    json: bool,
    quiet: bool,
) -> None:
    if predictor.caveat:
        warn(predictor.caveat)
    if json:
        typer.echo(json_text.dumps(_record(picture, explanation, predictor, chosen)))
        return
    ct = explanation.ct
    note(f"slice: {ct.id.path} frame {ct.id.frame}", quiet=quiet)
    for remark in ct.notes:
        note(f"note: {remark}", quiet=quiet)
    note(f"labels: {_why(explanation, chosen)}", quiet=quiet)
    note(RESEARCH_ONLY, quiet=quiet)
    typer.echo(str(picture))


def _why(explanation: Explanation, chosen: bool) -> str:
    names = ", ".join(
        f"{label} {explanation.probabilities[LABELS.index(label)]:.2f}"
        for label in explanation.maps
    )
    if chosen:
        return f"{names} (asked for)"
    if explanation.positive:
        return f"{names} (over the threshold)"
    return f"{names} (none is over its threshold: this is the likeliest)"


def _record(
    picture: Path, explanation: Explanation, predictor: Predictor, chosen: bool
) -> dict[str, Any]:
    ct = explanation.ct
    return {
        **ct.id._asdict(),
        "picture": str(picture),
        "probabilities": dict(
            zip(LABELS, (round(p, 6) for p in explanation.probabilities), strict=True)
        ),
        "positive": list(explanation.positive),
        "labels": list(explanation.maps),
        "reason": _why(explanation, chosen),
        "peaks": {label: list(place) for label, place in explanation.peaks().items()},
        "method": explanation.method,
        "status": ct.status,
        "note": "; ".join(ct.notes),
        "caveat": predictor.caveat,
        "use": RESEARCH_ONLY,
    }
