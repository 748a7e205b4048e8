"""Reports of ``ich predict``: an HTML page and DICOM files for each study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ich_cli.core.errors import IchError, OutputError
from ich_cli.core.system import output_error, remove_stale
from ich_cli.terminal import progress, warn

if TYPE_CHECKING:
    from ich_cli.core.report import StudyResult


@dataclass(frozen=True)
class Reports:
    """Folders of the reports; None writes no reports of that kind."""

    pages: Path | None = None
    dicom: Path | None = None
    keep_patient: bool = False

    def __bool__(self) -> bool:
        return bool(self.pages or self.dicom)

    def prepare(self) -> None:
        """Create the folders before the prediction, so that errors appear early.

        Raises
        ------
        OutputError
            If a folder cannot be made.
        """
        for folder in filter(None, (self.pages, self.dicom)):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except FileExistsError:
                raise OutputError(f"{folder} is a file; name a folder") from None
            except OSError as error:
                raise output_error(folder, error) from error
            remove_stale(folder)

    def write(self, results: Sequence[StudyResult], *, quiet: bool) -> list[Path]:
        """Write all reports; return the folders that contain any.

        An error affects only the study's own reports; a line on stderr gives the reason.
        """
        wrote: list[Path] = []
        with progress("Writing reports", len(results), unit="studies", quiet=quiet) as advance:
            for result in results:
                wrote += self._write(result)
                advance(1)
        if self.pages and results:
            from ich_cli.core.report import write_worklist

            write_worklist(results, self.pages / "index.html")
        return list(dict.fromkeys(wrote))

    def _write(self, result: StudyResult) -> list[Path]:
        from ich_cli.core.report import write_dicom, write_report

        wrote: list[Path] = []
        try:
            if self.pages:
                write_report(result, self.pages / f"{result.name}.html")
                wrote.append(self.pages)
            if self.dicom and result.slices:
                write_dicom(result, self.dicom / result.name, keep_patient=self.keep_patient)
                wrote.append(self.dicom)
        except OutputError:
            raise  # such as a full disk, which affects all further studies
        except IchError as error:
            warn(f"study {result.study.study_uid}: {error}")
        return wrote
