"""Open studies, each in a private folder until its session ends or an hour passes without use.

A study is addressed by a token of 128 random bits, which only the page that opened it receives.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Final

from gradio_app.open_study import OpenStudy
from ich_cli.core.dicom import Limits
from ich_cli.core.errors import IchError, NothingFoundError

KEEP_S: Final = 3600.0
"""Time without use after which a study is deleted, in seconds."""
GONE: Final = "this study is no longer here; open it again"

MAX_FILES: Final = 5000
"""Maximum number of files in one upload; a zip counts as one."""

_LOST: Final = "the upload is no longer there; upload it again"
_PAGE: Final = "page-"  # prefix of the random names that the page gives its uploads
_CLEAN_EVERY_S: Final = 60.0
_KEEP_LINKED_S: Final = 120.0


class SessionStore:
    """All open studies, each with its owner.

    Parameters
    ----------
    root
        Parent folder of the private folders.
    uploads
        Folder in which the server stores uploads; files elsewhere are refused.
    limits
        Limits for reading files.
    keep_s
        Time that an unused study is kept, in seconds.
    clock
        Monotonic time in seconds; replaced in tests.
    """

    def __init__(
        self,
        root: Path,
        uploads: Path,
        limits: Limits,
        *,
        keep_s: float = KEEP_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root, self._uploads, self._limits = root, uploads, limits
        self._keep_s, self._clock = keep_s, clock
        self._studies: dict[str, OpenStudy] = {}
        self._lock = Lock()
        self._linked: set[Path] = set()
        self._closing = Event()
        self._cleaner = Thread(target=self._clean_up, name="ich-cleanup", daemon=True)
        root.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Start to delete stale studies and uploads periodically."""
        self._cleaner.start()

    def open(self, owner: str, uploaded: Sequence[str]) -> OpenStudy:
        """Move uploads into a new private folder and close the owner's earlier study.

        Parameters
        ----------
        owner
            Session hash.
        uploaded
            Paths that the upload returned.

        Raises
        ------
        IchError
            If there are none or one is not an upload.
        """
        if not uploaded:
            raise NothingFoundError("no file was chosen; choose DICOM files or a zip of them")
        if len(uploaded) > MAX_FILES:
            raise IchError(f"{len(uploaded)} files; at most {MAX_FILES} at once: zip them")
        sources = [self._checked(one) for one in uploaded]
        folder = self.new_folder()
        paths = []
        for number, source in enumerate(sources, 1):  # original names may hold a patient's name
            paths.append(folder / f"{number:05d}")
            self._take(source, paths[-1])
        return self.add(owner, folder, paths)

    def new_folder(self) -> Path:
        """Make a private folder."""
        return Path(tempfile.mkdtemp(prefix="study-", dir=self._root))

    def add(
        self, owner: str, folder: Path, paths: Sequence[Path], *, shared: bool = False
    ) -> OpenStudy:
        """Register a study's folder. A shared study (the example) stays open for everybody."""
        study = OpenStudy(secrets.token_urlsafe(16), owner, folder, tuple(paths), self._limits)
        study.shared, study.used = shared, self._clock()
        self.end(owner)
        with self._lock:
            self._studies[study.token] = study
        return study

    def get(self, token: object) -> OpenStudy:
        """Return the study of a token and mark it as used.

        Raises
        ------
        IchError
            If there is no such study.
        """
        with self._lock:
            study = self._studies.get(token) if isinstance(token, str) else None
            if study is None:
                raise IchError(GONE)
            study.used = self._clock()
            return study

    def end(self, owner: str) -> None:
        """Close an owner's study and delete its files."""
        self._close(lambda study: not study.shared and study.owner == owner)

    def remove_stale(self) -> None:
        """Close studies unused for an hour and delete uploads that no study has taken."""
        oldest = self._clock() - self._keep_s
        self._close(lambda study: not study.shared and study.used < oldest)
        self._drop_uploads(time.time())

    def close(self) -> None:
        """Close all studies."""
        self._closing.set()
        if self._cleaner.is_alive():
            self._cleaner.join()
        self._close(lambda _: True)

    def __len__(self) -> int:
        return len(self._studies)

    def _close(self, selected: Callable[[OpenStudy], bool]) -> None:
        with self._lock:
            closed = [study for study in self._studies.values() if selected(study)]
            for study in closed:
                del self._studies[study.token]
        for study in closed:
            study.close()

    def _checked(self, given: str) -> Path:
        path = Path(given).resolve()
        if not path.is_relative_to(self._uploads.resolve()) or not path.is_file():
            raise IchError(_LOST)
        return path

    def _take(self, source: Path, target: Path) -> None:
        """Move an upload; link it if another client may have uploaded to the same path.

        Gradio stores equal bytes with equal names at one path, whoever sent them.
        """
        try:
            if source.name.startswith(_PAGE):
                source.replace(target)
            else:
                os.link(source, target)
                self._linked.add(source)
        except OSError:
            raise IchError(_LOST) from None

    def _drop_uploads(self, now: float) -> None:
        for path in self._uploads.glob("*/*"):
            kept = _KEEP_LINKED_S if path in self._linked else self._keep_s
            with suppress(OSError):
                if path.is_file() and path.stat().st_mtime < now - kept:
                    path.unlink()
                    self._linked.discard(path)
        for folder in self._uploads.glob("*/"):
            with suppress(OSError):  # it is not empty
                if folder.stat().st_mtime < now - self._keep_s:
                    folder.rmdir()

    def _clean_up(self) -> None:
        while not self._closing.wait(_CLEAN_EVERY_S):
            self.remove_stale()
