"""The service between the page and the models: takes studies in, hands answers and pictures out.

It knows no web page: the page and the API for programs call the same methods.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from gradio_app.encoding import encode_slice
from gradio_app.job_queue import BusyError, Job, JobQueue
from gradio_app.open_study import OpenStudy
from gradio_app.session_store import SessionStore
from gradio_app.view_state import Phase, ViewState, describe, message
from ich_cli.core.dicom import Limits
from ich_cli.core.errors import IchError
from ich_cli.core.phantom import write_studies

if TYPE_CHECKING:
    from ich_cli.core.predict import Predictor

EXAMPLE_SUBTYPES: Final = ("intraventricular", "subarachnoid", "subdural")
"""Hemorrhages in the example, which is the bleeding one of `make demo`."""

_EXAMPLE_SEED, _EXAMPLE_SIZE = 2010, 384
_TELL_EVERY_S: Final = 0.1
_MAX_RENDERS: Final = 64  # maps and files that may be asked for at the same time


@dataclass(frozen=True)
class Settings:
    """Bounds on what the page takes."""

    max_file_mb: int = 512
    """Of one file, and of one member of a zip when unpacked, in MiB."""
    max_slices: int = 3000
    """Of one upload."""
    concurrency: int = 1
    """Studies through the model at the same time."""
    queue: int = 64
    """Studies that may wait; more are told that the page is busy."""

    @property
    def limits(self) -> Limits:
        """Bounds on reading: one file, all that a zip unpacks to, and its members."""
        size = self.max_file_mb * 2**20
        return Limits(max_file_bytes=size, max_zip_bytes=8 * size, max_zip_entries=5000)

    @property
    def max_upload_bytes(self) -> int:
        """Bound on one request that uploads."""
        return 2 * self.max_file_mb * 2**20


class Service:
    """Takes studies in and hands out what the models say of them.

    Parameters
    ----------
    predictors
        Bundle's name → the bundle, loaded; the first one answers unless another is asked for.
    root
        Folder for studies; nothing in it is served.
    uploads
        Where the server puts uploads.
    settings
        Bounds.
    """

    def __init__(
        self,
        predictors: Mapping[str, Predictor],
        root: Path,
        uploads: Path,
        settings: Settings | None = None,
    ) -> None:
        self.predictors = dict(predictors)
        self.settings = settings or Settings()
        self.sessions = SessionStore(root, uploads, self.settings.limits)
        self._queue = JobQueue(self.settings.concurrency, self.settings.queue)
        self._render_pool = ThreadPoolExecutor(2, thread_name_prefix="ich-look")
        self._rendering = 0
        self._example: OpenStudy | None = None
        self._examples: dict[str, Job] = {}
        self._making = Lock()

    def start(self) -> None:
        """Make and analyse the example, and begin to sweep."""
        self.sessions.start()
        name, predictor = self.predictor(None)
        self._examples[name] = self._queue.submit(self._show_example(name, predictor))

    def close(self) -> None:
        """End all work and delete all files."""
        self._queue.close()
        self._render_pool.shutdown(wait=True, cancel_futures=True)
        self.sessions.close()

    def predictor(self, name: object) -> tuple[str, Predictor]:
        """Return a bundle by name; the first one where none is named.

        Raises
        ------
        IchError
            If there is no such bundle.
        """
        chosen = name or next(iter(self.predictors))
        if not isinstance(chosen, str) or chosen not in self.predictors:
            raise IchError(f"there is no such bundle; there are {', '.join(self.predictors)}")
        return chosen, self.predictors[chosen]

    async def follow(self, study: OpenStudy, bundle: object = None) -> AsyncIterator[ViewState]:
        """Analyse a study and yield its states; the last one says how it ended."""
        name, predictor = self.predictor(bundle)
        try:
            job = self.submit(study, name, predictor)
        except BusyError as busy:
            yield message("failed", str(busy))
            return
        try:
            async for state in self._states(job, study, name):
                yield state
        finally:
            job.cancel()  # of use where the page went away

    async def example(self, bundle: object = None) -> AsyncIterator[ViewState]:
        """Yield the states of the example study, which is the same for everybody."""
        name, predictor = self.predictor(bundle)
        try:
            if self._examples.get(name) is None:
                self._examples[name] = self._queue.submit(self._show_example(name, predictor))
        except BusyError as busy:
            yield message("failed", str(busy))
            return
        async for state in self._states(self._examples[name], self._example, name):
            yield state

    def submit(self, study: OpenStudy, name: str, predictor: Predictor) -> Job:
        """Queue a study for a bundle, in place of what was queued for it before.

        Raises
        ------
        BusyError
            If too many are waiting.
        """
        if study.job is not None:
            study.job.cancel()
        study.job = self._queue.submit(lambda job: self._analyse(study, name, predictor, job))
        return study.job

    async def render(self, work: Callable[[], Any]) -> Any:
        """Do what takes a moment (a map, a file to save) beside the studies' line.

        Raises
        ------
        BusyError
            If too many wait.
        """
        if self._rendering >= _MAX_RENDERS:
            raise BusyError("busy: too many pictures were asked for at once; try again")
        self._rendering += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._render_pool, work)
        finally:
            self._rendering -= 1

    def _analyse(self, study: OpenStudy, name: str, predictor: Predictor, job: Job) -> None:
        last = 0.0

        def tell(phase: Phase, *, now: bool = False) -> None:
            nonlocal last
            if now or time.monotonic() - last > _TELL_EVERY_S:
                last = time.monotonic()
                job.publish(describe(study, name, predictor, phase))

        if not study.entries:
            self._glimpse(study, job)
        study.scan(self.settings.max_slices, job)
        tell("predicting", now=True)
        study.predict(name, predictor, job, lambda: tell("predicting"))
        tell("done", now=True)

    def _glimpse(self, study: OpenStudy, job: Job) -> None:
        """Show a slice at once: reading all headers, and the model, come after it."""
        ct = study.glimpse()
        about: ViewState = {"token": study.token, "example": study.shared}
        job.publish(message("reading", picture=ct and encode_slice(ct), **about))

    async def _states(
        self, job: Job, study: OpenStudy | None, name: str
    ) -> AsyncIterator[ViewState]:
        try:
            token = study.token if study else ""
            async for state in job.states(lambda n: message("waiting", ahead=n, token=token)):
                yield state
        except IchError as error:
            yield self._ended(study, name, job, str(error))
        except Exception as error:  # its text may quote a patient's data
            yield message("failed", f"unexpected {type(error).__name__}; please report it")

    def _ended(self, study: OpenStudy | None, name: str, job: Job, text: str) -> ViewState:
        if job.cancelled and study is not None and study.entries:
            return describe(study, name, self.predictors[name], "cancelled")
        return message("cancelled" if job.cancelled else "failed", text)

    def _show_example(self, name: str, predictor: Predictor) -> Callable[[Job], None]:
        def work(job: Job) -> None:
            job.publish(message("reading", "Making a synthetic head", example=True))
            with self._making:
                if self._example is None:
                    self._example = self._make_example()
            self._analyse(self._example, name, predictor, job)

        return work

    def _make_example(self) -> OpenStudy:
        folder = self.sessions.new_folder()
        write_studies(folder / "made", 1, seed=_EXAMPLE_SEED, size=_EXAMPLE_SIZE)
        made = sorted((folder / "made").glob("study-*/*.dcm"))
        paths: Sequence[Path] = [
            path.rename(folder / f"{number:05d}") for number, path in enumerate(made, 1)
        ]
        return self.sessions.add("", folder, paths, shared=True)
