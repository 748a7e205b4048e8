"""BHX 1.1 (PhysioNet): boxes around hemorrhages on series of CQ500.

    1_Initial_Manual_Labeling.csv, 2_Extrapolation_to_All_Series.csv, …

The images are not included: ``--images CQ500``. A series with boxes has labels per slice; slices
without a box are negative. Boxes of chronic hemorrhages have no subtype.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.data.lesion_masks import NO_SUBTYPE, Box, blood_in_boxes
from ich_cli.core.data.sources.base import LabelledSeries, Opened, Source, SourceRequest
from ich_cli.core.data.sources.one_series import choose_per_study
from ich_cli.core.data.sources.scanned import ScannedSeries, scan_request, with_refused
from ich_cli.core.data.tables import read_table
from ich_cli.core.dicom import Limits
from ich_cli.core.errors import DataError, UsageError
from ich_cli.core.labels import SUBTYPES

if TYPE_CHECKING:
    from ich_cli.core.series import Series

TABLES: Final = "[123]_*.csv"
_COLUMNS: Final = ("sopinstanceuid", "labelname", "data")
_CHRONIC: Final = NO_SUBTYPE.bit_length() - 1
LICENCE: Final = "BHX 1.1 (Reis et al., PhysioNet); images of CQ500, CC BY-NC-SA 4.0"


@dataclass(frozen=True)
class PixelBox:
    """Box in pixels from the upper left corner."""

    kind: int
    """Bit of the mask: index into `SUBTYPES`, or that of `NO_SUBTYPE`."""
    x: float
    y: float
    width: float
    height: float

    def relative(self, shape: tuple[int, int]) -> Box:
        """Return the box in fractions of an image of rows and columns."""
        rows, columns = shape
        return Box(
            self.kind, (self.x + self.width / 2) / columns, (self.y + self.height / 2) / rows,
            self.width / columns, self.height / rows,
        )  # fmt: skip


@dataclass(frozen=True)
class BoxMasks:
    """Blood inside the boxes of one series."""

    boxes: Mapping[str, tuple[PixelBox, ...]]
    """SOPInstanceUID → boxes."""

    def read(self, series: Series, limits: Limits) -> Sequence[NDArray[np.uint8] | None]:
        """Return the mask of each slice; empty without a box."""
        from ich_cli.core.series import load

        out = []
        for ref in series.slices:
            boxes = self.boxes.get(ref.id.sop_uid, ())
            shape = ref.format.rows, ref.format.columns
            if boxes:
                relative = [box.relative(shape) for box in boxes]
                out.append(blood_in_boxes(load(ref, limits).hu, relative))
            else:
                out.append(np.zeros(shape, np.uint8))
        return out


def boxes_of(series: Series, boxes: Mapping[str, tuple[PixelBox, ...]]) -> BoxMasks | None:
    """Return the boxes of a series; None if it has none."""
    uids = (ref.id.sop_uid for ref in series.slices)
    own = {uid: boxes[uid] for uid in uids if uid in boxes}
    return BoxMasks(own) if own else None


def read_bhx(folder: Path) -> dict[str, tuple[PixelBox, ...]]:
    """Read all tables of a folder into a mapping from SOPInstanceUID to boxes.

    Raises
    ------
    DataError
        If a table does not parse.
    """
    found: dict[str, set[PixelBox]] = {}
    for path in sorted(folder.glob(TABLES)):
        table = read_table(path, _COLUMNS)
        for line, uid, label, data in table[[*_COLUMNS]].itertuples():
            found.setdefault(uid.strip(), set()).add(_parse(label, data, f"{path}, line {line}"))
    return {uid: tuple(sorted(own, key=repr)) for uid, own in found.items()}


def _parse(label: str, data: str, where: str) -> PixelBox:
    name = label.strip().lower()
    try:
        kind = _CHRONIC if name == "chronic" else SUBTYPES.index(name)
        values = ast.literal_eval(data)
        sides = [float(values[side]) for side in ("x", "y", "width", "height")]
    except (ValueError, SyntaxError, KeyError, TypeError):
        raise DataError(
            f"{where}: needs labelName, one of {', '.join(SUBTYPES)}, chronic, and data with x, y, "
            "width, height"
        ) from None
    return PixelBox(kind, *sides)


def _recognises(folder: Path) -> bool:
    return any(folder.glob("1_Initial_Manual_Labeling*.csv"))


def _open(request: SourceRequest) -> Opened:
    folder = request.folder("bhx")
    if request.images is None:
        raise UsageError("BHX has boxes only: give the folder of CQ500 with --images")
    boxes = read_bhx(folder)
    found = scan_request(request, [request.images])
    boxed = [one for one in found.series if boxes_of(one, boxes)]
    if not boxed:
        raise DataError(f"{request.images}: no slice of BHX's {len(boxes)} is there")
    chosen, others = choose_per_study(boxed)
    series: list[LabelledSeries] = [
        ScannedSeries(one, None, request.limits, boxes_of(one, boxes)) for one in chosen
    ]
    return Opened(with_refused(series, others))


SOURCE: Final = Source("bhx", "BHX", _recognises, _open, LICENCE)
