"""Reports of ``ich predict``: a page and DICOM files a study, NIfTI volumes a series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ich_cli.core.errors import IchError, OutputError
from ich_cli.core.system import make_folder
from ich_cli.terminal import progress, warn

if TYPE_CHECKING:
    from ich_cli.core.report import StudyResult


@dataclass(frozen=True)
class Reports:
    """Folders of the reports; None writes no reports of that kind."""

    pages: Path | None = None
    dicom: Path | None = None
    nifti: Path | None = None
    keep_patient: bool = False

    def __bool__(self) -> bool:
        return bool(self.pages or self.dicom or self.nifti)

    def prepare(self) -> None:
        """Create the folders before the prediction, so that errors appear early.

        Raises
        ------
        OutputError
            If a folder cannot be made.
        """
        for folder in filter(None, (self.pages, self.dicom, self.nifti)):
            make_folder(folder)

    def write(self, results: Sequence[StudyResult], *, quiet: bool) -> list[Path]:
        """Write all reports; return the folders that contain any.

        An error affects only the study's own reports; a line on stderr gives the reason.
        """
        wrote: list[Path] = []
        stems = self._stems(results)
        with progress("Writing reports", len(results), unit="studies", quiet=quiet) as advance:
            for result in results:
                wrote += self._write(result, stems)
                advance(1)
        if self.pages and results:
            from ich_cli.core.report import write_worklist

            write_worklist(results, self.pages / "index.html")
        return list(dict.fromkeys(wrote))

    def _stems(self, results: Sequence[StudyResult]) -> dict[str, str]:
        """Return the beginnings of the names of maps by the key of their series."""
        if not self.nifti:
            return {}
        from ich_cli.core.explain import map_stems

        return map_stems(one.series for result in results for one in result.group.series)

    def _write(self, result: StudyResult, stems: dict[str, str]) -> list[Path]:
        from ich_cli.core.report import write_dicom, write_report

        wrote: list[Path] = []
        try:
            if self.pages:
                write_report(result, self.pages / f"{result.name}.html")
                wrote.append(self.pages)
            if self.nifti and result.slices:
                self._write_maps(result, self.nifti, stems)
                wrote.append(self.nifti)
            if self.dicom and result.slices:
                write_dicom(result, self.dicom / result.name, keep_patient=self.keep_patient)
                wrote.append(self.dicom)
        except OutputError:
            raise  # such as a full disk, which affects all further studies
        except IchError as error:
            warn(f"study {result.study.study_uid}: {error}")
        return wrote

    def _write_maps(self, result: StudyResult, folder: Path, stems: dict[str, str]) -> None:
        from ich_cli.core.explain import volume_grid, write_nifti_maps

        for one in result.group.series:
            if any(row.probabilities for row in one.slices):
                stem = stems[one.series.key]
                write_nifti_maps(result.predictor, one.series, folder, stem, limits=result.limits)
                if note := volume_grid(one.series).note:
                    warn(f"{folder / stem}: {note}")
