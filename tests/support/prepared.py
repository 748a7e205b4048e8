"""Small prepared data sets made in memory, for tests of training and evaluation."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ich_cli.core.data import PreparedDataset, prepare_dataset
from ich_cli.core.data.sources.base import LabelledSlice, SourceInfo
from ich_cli.core.dicom import CTSlice, SliceId
from ich_cli.core.errors import BrokenFileError
from ich_cli.core.preprocessing import PreprocessConfig


@dataclass(frozen=True)
class BlobSeries:
    """A disc of brain in which every third slice has a bright blob: `any` and epidural."""

    number: int
    who: str
    slices: int = 6
    broken: int = -1
    """Index of a slice that does not read."""
    located: bool = False
    """Whether it is known where it bleeds."""

    @property
    def name(self) -> str:
        return f"series-{self.number}"

    @property
    def max_slices(self) -> int:
        return self.slices

    def patient(self) -> str:
        return self.who

    def read(self) -> Iterator[LabelledSlice]:
        rng = np.random.default_rng(self.number)
        rows, columns = np.mgrid[:64, :64]
        for index in range(self.slices):
            name = f"{self.name}/{index}"
            ids = (name, "study", self.name, self.who)
            if index == self.broken:
                yield LabelledSlice(*ids, error=BrokenFileError(name, "cannot be read"))
                continue
            hu = np.where((rows - 32) ** 2 + (columns - 32) ** 2 < 900, 30.0, -1000.0)
            hu = hu + rng.normal(0, 3, hu.shape)
            bleeds = (self.number + index) % 3 == 0
            mask = np.zeros((64, 64), np.uint8)
            if bleeds:
                row, column = rng.integers(24, 40, 2)
                inside = (rows - row) ** 2 + (columns - column) ** 2 < 64
                hu[inside] = 75.0
                mask[inside] = 1  # bit 0: epidural
            ct = CTSlice(hu.astype(np.float32), SliceId(name))
            labels = (1.0, 1.0, 0.0, 0.0, 0.0, 0.0) if bleeds else (0.0,) * 6
            yield LabelledSlice(*ids, ct, labels, mask=mask if self.located else None)


def blobs(
    folder: Path,
    series: int = 10,
    size: int = 32,
    *,
    real_ct: bool = False,
    context: int = 0,
    located: bool = False,
    slices: int = 6,
    first: int = 0,
) -> PreparedDataset:
    """Return a prepared data set of as many patients as series, numbered from `first`."""
    numbers = range(first, first + series)
    sources = [BlobSeries(i, f"PATIENT^SECRET^{i}", slices, located=located) for i in numbers]
    config = PreprocessConfig(size=size, context=context)
    return prepare_dataset(sources, folder, config, SourceInfo("test", "blobs", real_ct=real_ct))


def prepare(folder: Path, series: list[BlobSeries], kind: str = "folder") -> PreparedDataset:
    return prepare_dataset(series, folder, PreprocessConfig(size=32), SourceInfo(kind, "blobs"))


@dataclass(frozen=True)
class Renamed(BlobSeries):
    """The images of a series under another number."""

    shown: int = 0

    @property
    def name(self) -> str:
        return f"other-{self.shown}"


def without_hashes(data: PreparedDataset) -> PreparedDataset:
    """Return a data set as an earlier version wrote it."""
    path = data.folder / "index.csv"
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in rows[0] if name not in ("hu_hash", "pseudonym")]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    about = json.loads((data.folder / "dataset.json").read_text())
    about["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (data.folder / "dataset.json").write_text(json.dumps(about))
    return PreparedDataset.open(data.folder)
