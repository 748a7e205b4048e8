"""Service behind the page and the HTTP API: opens studies, runs the models, renders maps and files.

It depends on no web framework.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
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
"""Hemorrhages in the example, which is the positive study of `make demo`."""

_EXAMPLE_SEED, _EXAMPLE_SIZE = 2010, 384
_PUBLISH_EVERY_S: Final = 0.1
_MAX_RENDERS: Final = 64  # maps and files that are rendered or wait for it


@dataclass(frozen=True)
class Settings:
    """Limits of the page."""

    max_file_mb: int = 512
    """Maximum size of a file, and of an unpacked zip member, in MiB."""
    max_slices: int = 3000
    """Maximum number of slices in one upload."""
    concurrency: int = 1
    """Number of studies that are predicted at the same time."""
    queue: int = 64
    """Number of studies that may wait; more are refused as busy."""

    @property
    def limits(self) -> Limits:
        """Limits for reading a file, a zip and its members."""
        size = self.max_file_mb * 2**20
        return Limits(max_file_bytes=size, max_zip_bytes=8 * size, max_zip_entries=5000)

    @property
    def max_upload_bytes(self) -> int:
        """Maximum size of one upload request, in bytes."""
        return 2 * self.max_file_mb * 2**20


class Service:
    """Opens studies, runs the models on them and renders the results.

    Parameters
    ----------
    predictors
        Bundle name → predictor; the first one is the default.
    root
        Folder for studies; nothing in it is served.
    uploads
        Folder in which the server stores uploads.
    settings
        Limits.
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
        self._render_pool = ThreadPoolExecutor(2, thread_name_prefix="ich-render")
        self._rendering = 0
        self._example: OpenStudy | None = None
        self._example_jobs: dict[str, Job] = {}
        self._example_lock = Lock()

    def start(self) -> None:
        """Start the periodic clean-up, and make and analyse the example."""
        self.sessions.start()
        self._example_job(*self.predictor(None))

    def close(self) -> None:
        """Stop all work and delete all files."""
        self._queue.close()
        self._render_pool.shutdown(wait=True, cancel_futures=True)
        self.sessions.close()

    def predictor(self, name: object) -> tuple[str, Predictor]:
        """Return name and predictor of a bundle; the default if no name is given.

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
        """Analyse a study and yield its view states; the last one says how it ended."""
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
            job.cancel()  # the page may have been closed before the end

    async def example(self, bundle: object = None) -> AsyncIterator[ViewState]:
        """Yield the view states of the example study, which all pages share."""
        name, predictor = self.predictor(bundle)
        try:
            job = self._example_job(name, predictor)
        except BusyError as busy:
            yield message("failed", str(busy))
            return
        async for state in self._states(job, self._example, name):
            yield state

    def submit(self, study: OpenStudy, name: str, predictor: Predictor) -> Job:
        """Queue a study for a bundle and cancel its earlier job.

        Raises
        ------
        BusyError
            If the queue is full.
        """
        if study.job is not None:
            study.job.cancel()
        study.job = self._queue.submit(lambda job: self._analyse(study, name, predictor, job))
        return study.job

    async def render(self, work: Callable[[], Any]) -> Any:
        """Run short work (a map, a file to save) in the render pool, beside the job queue.

        Raises
        ------
        BusyError
            If too many requests are waiting.
        """
        if self._rendering >= _MAX_RENDERS:
            raise BusyError("busy: too many images and files were requested at once; try again")
        self._rendering += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._render_pool, work)
        finally:
            self._rendering -= 1

    def _analyse(self, study: OpenStudy, name: str, predictor: Predictor, job: Job) -> None:
        last = 0.0

        def publish(phase: Phase, *, now: bool = False) -> None:
            nonlocal last
            if now or time.monotonic() - last > _PUBLISH_EVERY_S:
                last = time.monotonic()
                job.publish(describe(study, name, predictor, phase))

        if not study.found:
            self._publish_preview(study, job)
        study.scan(self.settings.max_slices, job)
        publish("predicting", now=True)
        study.predict(name, predictor, job, lambda: publish("predicting"))
        publish("done", now=True)

    def _publish_preview(self, study: OpenStudy, job: Job) -> None:
        """Send one slice at once, before all headers are read and the model runs."""
        ct = study.preview()
        preview = ct and encode_slice(ct)
        job.publish(message("reading", token=study.token, example=study.shared, preview=preview))

    async def _states(
        self, job: Job, study: OpenStudy | None, name: str
    ) -> AsyncIterator[ViewState]:
        try:
            token = study.token if study else ""
            async for state in job.states(lambda n: message("waiting", ahead=n, token=token)):
                yield state
        except IchError as error:
            if not job.cancelled:
                yield message("failed", str(error))
            elif study is not None and study.found:
                yield describe(study, name, self.predictors[name], "cancelled")
            else:
                yield message("cancelled", str(error))
        except Exception as error:  # its text may quote a patient's data
            yield message("failed", f"unexpected {type(error).__name__}; please report it")

    def _example_job(self, name: str, predictor: Predictor) -> Job:
        """Return the job that analyses the example with a bundle; queue it if there is none."""

        def work(job: Job) -> None:
            job.publish(message("reading", "Generating a synthetic head CT", example=True))
            with self._example_lock:
                if self._example is None:
                    self._example = self._make_example()
            self._analyse(self._example, name, predictor, job)

        if name not in self._example_jobs:
            self._example_jobs[name] = self._queue.submit(work)
        return self._example_jobs[name]

    def _make_example(self) -> OpenStudy:
        folder = self.sessions.new_folder()
        write_studies(folder / "made", 1, seed=_EXAMPLE_SEED, size=_EXAMPLE_SIZE)
        made = sorted((folder / "made").glob("study-*/*.dcm"))
        paths = [path.rename(folder / f"{number:05d}") for number, path in enumerate(made, 1)]
        return self.sessions.add("", folder, paths, shared=True)
