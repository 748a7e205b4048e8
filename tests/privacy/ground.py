"""Workspace of a privacy test: planted study, output folder, search for identifiers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from typer.testing import CliRunner, Result

from ich_cli.main import app
from tests.privacy.corpus import Planter
from tests.privacy.searching import files_of, found_in


@dataclass
class Ground:
    """Workspace of a test: planted study and output folder."""

    scans: Path
    labels: Path
    planter: Planter
    work: Path
    temporary: Path
    bundle: Path
    output: list[tuple[str, str]] = field(default_factory=list)
    more: list[Path] = field(default_factory=list)
    """Other folders to search."""

    @property
    def home(self) -> Path:
        return next(self.scans.iterdir())

    def ich(self, *arguments: object, code: int = 0) -> Result:
        words = list(map(str, arguments))
        done = CliRunner().invoke(app, words, prog_name="ich")
        assert done.exit_code == code, done.output
        assert done.stderr.count("Traceback") == 0
        self.output += [
            ("stdout of " + words[0], done.stdout),
            ("stderr of " + words[0], done.stderr),
        ]
        return done

    def anonymous(self, *arguments: object, code: int = 0) -> Result:
        return self.ich(*arguments, "--anonymous-paths", self.work / "key", code=code)

    def check(self) -> None:
        """Search all output and files; no planted token may be there."""
        looked = 0
        for name, data in self._all():
            looked += 1
            leaks = {self.planter.places[one] for one in found_in(data, self.planter.places)}
            assert not leaks, f"{name} holds what was planted in {sorted(leaks)}"
        assert looked > 2

    def _all(self) -> Iterator[tuple[str, bytes]]:
        yield from ((name, text.encode()) for name, text in self.output)
        yield from files_of(self.work)
        for folder in (self.temporary, *self.more):
            yield from files_of(folder)
