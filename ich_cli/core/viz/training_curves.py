"""Figure of a training's metrics per epoch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from ich_cli.core.system import replacing

CURVES: Final = "figures/curves.png"
_PANELS: Final = {"loss": "training loss", "auc_any": "AUROC of any", "log_loss": "log loss"}


def draw_curves(run: Path) -> Path | None:
    """Draw training loss, AUROC and log loss of each fold per epoch.

    Parameters
    ----------
    run
        Folder of the run; the figure is its ``figures/curves.png``.

    Returns
    -------
    pathlib.Path or None
        Path of the figure; None where no fold has metrics.
    """
    from matplotlib.figure import Figure

    found = {path.parent.name: _read(path) for path in sorted(run.glob("*/metrics.jsonl"))}
    if not any(found.values()):
        return None
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    for axes, (key, title) in zip(figure.subplots(1, len(_PANELS)), _PANELS.items(), strict=True):
        for name, history in found.items():
            points = [(one["epoch"], one[key]) for one in history if one.get(key) is not None]
            if points:
                axes.plot(*zip(*points, strict=True), marker=".", label=name.replace("-", " "))
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(frameon=False)
    figure.suptitle("AUROC and log loss: each fold on its validation patients · research use only")
    path = run / CURVES
    path.parent.mkdir(exist_ok=True)
    with replacing(path) as file:
        figure.savefig(file, format="png", dpi=120)
    return path


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
