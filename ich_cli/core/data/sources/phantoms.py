"""Phantoms: generated when they are read, or a folder that `ich phantom` wrote."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from ich_cli.core.data.sources.base import (
    LabelledSeries,
    LabelledSlice,
    Opened,
    Source,
    SourceRequest,
)
from ich_cli.core.dicom import CTSlice, SliceId
from ich_cli.core.errors import UsageError


@dataclass(frozen=True)
class PhantomSeries:
    """Synthetic study, generated when it is read."""

    seed: int
    subtypes: tuple[str, ...] | None = None
    size: int = 512

    @property
    def name(self) -> str:
        """Name made of the seed."""
        return f"phantom-{self.seed}"

    @property
    def max_slices(self) -> int:
        """Upper bound of a phantom's slices."""
        from ich_cli.core.phantom import PhantomConfig

        return PhantomConfig(self.seed).slices[1]

    def patient(self) -> str:
        """Return the seed's name: each phantom is a patient of its own."""
        return self.name

    def read(self) -> Iterator[LabelledSlice]:
        """Yield the slices in caudal to cranial order."""
        from ich_cli.core.phantom import PhantomConfig, generate_phantom

        study = generate_phantom(
            PhantomConfig(seed=self.seed, subtypes=self.subtypes, size=self.size)
        )
        slices = zip(study.hu, study.labels, study.masks, strict=True)
        for index, (hu, labels, mask) in enumerate(slices):
            name = f"{self.name}/{index + 1}"
            ct = CTSlice(hu.astype(np.float32), SliceId(name, instance=index + 1))
            row = tuple(float(label) for label in labels)
            yield LabelledSlice(name, self.name, self.name, self.name, ct, row, mask=mask)


def open_phantoms(
    studies: int, seed: int = 0, subtypes: tuple[str, ...] | None = None, size: int = 512
) -> list[LabelledSeries]:
    """Return phantoms with the seeds ``seed … seed + studies - 1``."""
    if studies < 1:
        raise UsageError("the number of phantom studies must be positive")
    return [PhantomSeries(seed + i, subtypes, size) for i in range(studies)]


def _recognises(folder: Path) -> bool:
    return False  # a folder of `ich phantom` is DICOM with a table of labels: the source `folder`


def _open(request: SourceRequest) -> Opened:
    if request.paths:
        raise UsageError("phantoms are generated: remove the path")
    name = f"phantoms {request.seed} to {request.seed + request.studies - 1}"
    return Opened(open_phantoms(request.studies, request.seed), real_ct=False, name=name)


SOURCE: Final = Source("phantom", "phantoms", _recognises, _open)
