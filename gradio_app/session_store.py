"""Who may see which study: one private folder a study, gone when its session ends or in an hour.

A study is reached by its token alone, 128 random bits that only its own page is told.
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
"""Seconds after which a study that nobody looks at is deleted."""
GONE: Final = "this study is no longer here; open it again"

MAX_FILES: Final = 5000
"""Files of one study; a zip is one."""

_LOST: Final = "the upload is no longer there; upload it again"
_PAGE: Final = "page-"  # the page names its uploads at random; no two people share one
_CLEAN_EVERY_S: Final = 60.0
_KEEP_LINKED_S: Final = 120.0


class SessionStore:
    """All studies that are open, each with its owner.

    Parameters
    ----------
    root
        Folder for the private folders.
    uploads
        Folder into which the server puts uploads; nothing from elsewhere is taken in.
    limits
        Bounds on what is read.
    keep_s
        Seconds for which an unused study is kept.
    clock
        Time in seconds; tests have their own.
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
        """Begin to sweep now and then."""
        self._cleaner.start()

    def open(self, owner: str, uploaded: Sequence[str]) -> OpenStudy:
        """Move uploads into a private folder of their own; an owner's earlier study is closed.

        Parameters
        ----------
        owner
            The session's hash.
        uploaded
            Paths as the upload gave them.

        Raises
        ------
        IchError
            If there are none, or one is not an upload.
        """
        if not uploaded:
            raise NothingFoundError("no file was chosen; choose DICOM files or a zip of them")
        if len(uploaded) > MAX_FILES:
            raise IchError(f"{len(uploaded)} files; at most {MAX_FILES} at once: zip them")
        sources = [self._checked(one) for one in uploaded]
        folder = self.new_folder()
        paths = []
        for number, source in enumerate(sources, 1):  # a file's own name may be a patient's
            paths.append(folder / f"{number:05d}")
            self._take(source, paths[-1])
        return self.add(owner, folder, paths)

    def new_folder(self) -> Path:
        """Make a private folder."""
        return Path(tempfile.mkdtemp(prefix="study-", dir=self._root))

    def add(
        self, owner: str, folder: Path, paths: Sequence[Path], *, shared: bool = False
    ) -> OpenStudy:
        """Take charge of a study's folder. A shared study, the example, stays for all."""
        study = OpenStudy(secrets.token_urlsafe(16), owner, folder, tuple(paths), self._limits)
        study.shared, study.used = shared, self._clock()
        self.end(owner)
        with self._lock:
            self._studies[study.token] = study
        return study

    def get(self, token: object) -> OpenStudy:
        """Return the study that a token stands for, and note that it is in use.

        Raises
        ------
        IchError
            If there is none (any more).
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
        """Close studies that nobody has used for an hour, and drop uploads nobody asked about."""
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

    def _close(self, which: Callable[[OpenStudy], bool]) -> None:
        with self._lock:
            closed = [study for study in self._studies.values() if which(study)]
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
        """Move an upload; one whose path another client may share is linked, and dropped later.

        The server puts the same bytes under the same name at the same path, whoever sent them.
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
            with suppress(OSError):  # one that is not empty stays
                if folder.stat().st_mtime < now - self._keep_s:
                    folder.rmdir()

    def _clean_up(self) -> None:
        while not self._closing.wait(_CLEAN_EVERY_S):
            self.remove_stale()
