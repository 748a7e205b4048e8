from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from ich_cli.core.viz import draw_curves

RECORD = {"epoch": 1, "step": 5, "loss": 0.5, "auc_any": 0.75, "auc_subdural": None}


def test_draws_the_curves_of_two_folds(tmp_path: Path) -> None:
    assert draw_curves(tmp_path) is None
    for fold in (0, 1):
        (tmp_path / f"fold-{fold}").mkdir()
        lines = [{**RECORD, "epoch": epoch, "loss": 1 / epoch} for epoch in (1, 2, 3)]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (tmp_path / f"fold-{fold}" / "metrics.jsonl").write_text(text)
    path = draw_curves(tmp_path)
    assert path == tmp_path / "figures" / "curves.png"
    picture = cv2.imread(str(path))
    assert picture is not None
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10
