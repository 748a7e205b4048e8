"""Write the files of ``ich evaluate --output``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from ich_cli._version import __version__
from ich_cli.core.evaluate.comparison import Comparison
from ich_cli.core.evaluate.labelled_predictions import Evaluation
from ich_cli.core.evaluate.output.card import card_section
from ich_cli.core.evaluate.output.figures import (
    before_and_after,
    curve_data,
    write_before_after,
    write_metric_figures,
)
from ich_cli.core.evaluate.output.top_errors import (
    find_top_errors,
    write_top_errors_image,
    write_top_errors_table,
)
from ich_cli.core.system import output_error, replacing, write_json

FORMAT: Final = 1


def to_json(
    models: Sequence[Evaluation], compared: Sequence[tuple[str, Sequence[Comparison], int]] = ()
) -> dict[str, Any]:
    """Return the content of ``metrics.json``: metrics of the first model, then of the others.

    Parameters
    ----------
    models
        At least one.
    compared
        Unit, rows and number of cases of each comparison.
    """
    out = {"format": FORMAT, "ich": __version__, **models[0].to_dict()}
    if len(models) > 1:
        out["others"] = [one.to_dict() for one in models[1:]]
        out["compared"] = {
            unit: {"count": count, "with": models[0].name, "models": [vars(one) for one in rows]}
            for unit, rows, count in compared
        }
    return out


def write_evaluation(
    folder: Path,
    models: Sequence[Evaluation],
    page: str,
    values: dict[str, Any],
    *,
    names: bool = False,
    before: Evaluation | None = None,
) -> None:
    """Write the page, figures, card section and top errors of the first model, then metrics.json.

    Parameters
    ----------
    folder
        Created if it does not exist; other files in it are kept.
    models
        At least one.
    page
        Result of `render_page`.
    values
        Result of `to_json`.
    names
        Show the names of slices.
    before
        The first model before calibration.

    Raises
    ------
    OutputError
        If a file cannot be written.
    """
    figures, first = folder / "figures", models[0].predictions
    try:
        figures.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(folder, error) from error
    write_metric_figures(figures, curve_data(models), first.data_and_split)
    if before:
        write_before_after(figures, *before_and_after(before, models[0]), first.data_and_split)
    errors = find_top_errors(first.slices)
    write_top_errors_table(folder / "top_errors.csv", errors, names=names)
    if first.images is not None:
        write_top_errors_image(
            folder / "top_errors.png", errors, first.images, first.data_and_split, names=names
        )
    section = card_section(models[0], errors, names=names)
    for name, text in (("report.html", page), ("card.md", section)):
        with replacing(folder / name) as file:
            file.write(text.encode("utf-8"))
    write_json(folder / "metrics.json", values)
