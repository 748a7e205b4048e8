"""Part files of an unfinished run: the predictions of one series each.

The parts of ``out.csv`` are in ``.out.csv.parts`` beside it. A part is written atomically when its
series is done. Its name holds a hash of the series and one of the settings that its rows depend on.
A run with ``--resume`` skips the series that have parts. The folder is removed when the table has
been written.

A part is a JSON Lines file: a header with the settings and the SHA-256 of the remaining lines, then
one row per slice, with all digits.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ich_cli.core.dicom import SliceId
from ich_cli.core.errors import OutputError, ReasonCode
from ich_cli.core.series import Series
from ich_cli.core.study import SeriesPrediction, SliceFacts, SlicePrediction
from ich_cli.core.system import output_error, remove_stale, replacing, temporary_sibling

_VERSION: Final = 1


class Parts:
    """Part files of one output.

    Parameters
    ----------
    output
        Table that the run will write.
    settings
        Settings that the rows depend on, as JSON types; the keys appear in messages.
    """

    def __init__(self, output: Path, settings: Mapping[str, Any]) -> None:
        self.folder = parts_folder(output)
        self._output = output
        self._settings: dict[str, Any] = json.loads(json.dumps({"parts": _VERSION, **settings}))
        text = json.dumps(self._settings, sort_keys=True)
        self._fingerprint = hashlib.sha256(text.encode()).hexdigest()[:16]

    def begin(self, *, resume: bool) -> list[str]:
        """Create the folder; without `resume`, remove the parts of earlier runs.

        Returns
        -------
        list of str
            Settings in which existing parts differ from this run, so that they are not used.

        Raises
        ------
        OutputError
            If the folder cannot be written.
        """
        try:
            if not resume and self.folder.exists():
                shutil.rmtree(self.folder)
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise output_error(self._output, error) from error
        remove_stale(self.folder)
        others = {p.stem.rpartition("-")[2]: p for p in self.folder.glob("*.jsonl")}
        others.pop(self._fingerprint, None)
        found = [_header(path).get("settings", {}) for path in others.values()]
        differing = [key for one in found for key in {**self._settings, **one}
                     if one.get(key) != self._settings.get(key)]  # fmt: skip
        return list(dict.fromkeys(differing))

    def write(self, prediction: SeriesPrediction) -> None:
        """Write the part of a series.

        Raises
        ------
        OutputError
            If it cannot be written.
        """
        lines = "".join(json.dumps(_to_json(row)) + "\n" for row in prediction.slices)
        header = {
            "settings": self._settings,
            "sha256": hashlib.sha256(lines.encode()).hexdigest(),
        }
        with replacing(self._path(prediction.series), durable=False) as file:
            file.write((json.dumps(header) + "\n" + lines).encode())

    def read(self, series: Series) -> SeriesPrediction:
        """Read the part of a series.

        Raises
        ------
        OutputError
            If it is missing or damaged.
        """
        if (found := self.find(series)) is None:
            raise OutputError(f"cannot read {self._path(series)}; run again with --resume")
        return found

    def find(self, series: Series) -> SeriesPrediction | None:
        """Read the part of a series; None if it is missing or damaged."""
        path = self._path(series)
        try:
            first, _, rest = path.read_text("utf-8").partition("\n")
            header = json.loads(first)
            if header["sha256"] != hashlib.sha256(rest.encode()).hexdigest():
                return None
            rows = tuple(_from_json(json.loads(line)) for line in rest.splitlines())
        except (OSError, ValueError, TypeError, KeyError):
            return None
        complete = len(rows) == len(series.slices) + len(series.refused)
        return SeriesPrediction(series, rows) if complete else None

    def kept_rows(self, series: Iterable[Series]) -> int:
        """Return the number of rows in the parts of these series."""
        kept = (one for one in series if self._path(one).exists())
        return sum(len(one.slices) + len(one.refused) for one in kept)

    def discard(self) -> None:
        """Remove all parts, including those with other settings, once the table is written."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def remove_if_empty(self) -> None:
        """Remove the folder if it contains no part."""
        with suppress(OSError):
            self.folder.rmdir()

    def _path(self, series: Series) -> Path:
        return self.folder / f"{series.key}-{self._fingerprint}.jsonl"


def parts_folder(output: Path) -> Path:
    """Return the folder with the parts of an output: ``out.csv`` → ``.out.csv.parts``."""
    return temporary_sibling(output, "parts")


def _header(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            found = json.loads(file.readline())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _to_json(row: SlicePrediction) -> list[Any]:
    return [
        list(row.id), row.probabilities, row.positive, row.status, row.note, row.facts, row.code,
    ]  # fmt: skip


def _from_json(values: Any) -> SlicePrediction:
    id, probabilities, positive, status, note, facts, code = values
    return SlicePrediction(
        SliceId(*id),
        None if probabilities is None else tuple(probabilities),
        tuple(positive),
        status,
        note,
        None if facts is None else SliceFacts(*facts),
        None if code is None else ReasonCode(code),
    )
