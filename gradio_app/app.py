"""The demo page: upload a study, see its probabilities, and where the model looked.

demo = build_demo(Predictor.load())
launch(demo, host="127.0.0.1", port=7860)
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import gradio as gr
from gradio.utils import get_upload_folder

from gradio_app.answers import (
    REFUSED_HEADERS,
    SLICE_HEADERS,
    Answers,
    analyse,
    demo_limits,
    headline,
    refused_table,
    slice_table,
    view,
)
from ich_cli.core.errors import IchError
from ich_cli.core.labels import LABELS, RESEARCH_ONLY
from ich_cli.core.phantom import write_studies
from ich_cli.core.predictor import Predictor

MAX_FILE_MB: Final = 512
"""Default bound on one uploaded file."""
EXAMPLE_SUBTYPES: Final = ("intraparenchymal", "subdural")
"""Hemorrhages planted in the example."""

_CLEAN_EVERY_S, _KEEP_S = 300, 3600  # uploads are scans: they go after an hour
_QUEUE: Final = 16
_INTRO: Final = (
    "# Intracranial hemorrhage on head CT\n\n"
    "Choose the DICOM files of a study, or a zip of them, whatever their names. Each slice gets "
    "six probabilities: of any hemorrhage and of its five subtypes."
)
_SYSTEM_FONTS: Final = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "sans-serif")


def build_demo(predictor: Predictor, max_file_mb: int = MAX_FILE_MB) -> gr.Blocks:
    """Lay out the page around a loaded bundle; `launch` serves it.

    Parameters
    ----------
    predictor
        What answers. One event at a time uses it.
    max_file_mb
        Bound on one uploaded file, and on one member of a zip when unpacked, in MiB.
    """
    page = _Page(predictor, max_file_mb)
    demo: gr.Blocks
    with gr.Blocks(
        title="Intracranial hemorrhage on head CT",
        analytics_enabled=False,
        delete_cache=(_CLEAN_EVERY_S, _KEEP_S),
    ) as demo:
        page.lay_out()
        page.wire()
    demo.max_file_size = max_file_mb * 2**20  # gradio sets its own at launch, from this one
    demo.queue(max_size=_QUEUE, default_concurrency_limit=1)
    return demo


def launch(demo: gr.Blocks, *, host: str, port: int, open_browser: bool = False) -> str:
    """Serve the page in the background and return its address.

    Parameters
    ----------
    demo
        As `build_demo` made it.
    host, port
        Where to listen.
    open_browser
        Whether to open the page in the default browser.

    Raises
    ------
    IchError
        If the address cannot be had.
    """
    try:
        _, address, _ = demo.launch(
            server_name=host,
            server_port=port,
            inbrowser=open_browser,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
            enable_monitoring=False,
            run_history=False,
            footer_links=[],
            max_file_size=demo.max_file_size,
            theme=gr.themes.Default(font=_SYSTEM_FONTS, font_mono=("ui-monospace", "monospace")),
            css_paths=Path(__file__).with_name("style.css"),
        )
    except OSError:
        raise IchError(
            f"{host}:{port} cannot be listened on; choose another --port, or another --host"
        ) from None
    return str(address)


def close(demo: gr.Blocks) -> None:
    """Stop serving at once: a page that stands open in a browser is not waited for."""
    if demo.server is not None:
        demo.server.force_exit = True
    demo.close(verbose=False)


class _Page:
    """The page's components and what happens on them."""

    def __init__(self, predictor: Predictor, max_file_mb: int) -> None:
        self.predictor = predictor
        self.limits = demo_limits(max_file_mb)
        self._example: list[Path] = []

    def lay_out(self) -> None:
        gr.Markdown(_INTRO)
        warning = " ".join(filter(None, (RESEARCH_ONLY, self.predictor.caveat)))
        gr.Markdown(warning, elem_classes="ich-warning")
        self.answers = gr.State(None, time_to_live=_KEEP_S)
        with gr.Row():
            with gr.Column(scale=1):
                self.files = gr.File(label="DICOM files or a zip", file_count="multiple")
                self.predict = gr.Button("Predict", variant="primary")
                planted = " and ".join(EXAMPLE_SUBTYPES)
                self.example = gr.Button(f"Try a synthetic head with {planted} hemorrhage")
                self.headline = gr.Markdown()
            with gr.Column(scale=3):
                self._lay_out_view()
        self.table = gr.Dataframe(
            headers=list(SLICE_HEADERS), label="Slices, highest probability first; choose one",
            interactive=False, max_height=400, buttons=[],
        )  # fmt: skip
        self.refused = gr.Dataframe(
            headers=list(REFUSED_HEADERS), label="Refused files", interactive=False,
            visible=False, wrap=True, buttons=[],
        )  # fmt: skip

    def _lay_out_view(self) -> None:
        with gr.Row():
            self.slice = gr.Slider(1, 2, value=1, step=1, label="Slice", interactive=False)
            self.label = gr.Dropdown(
                ["none", *LABELS], value="any", label="Grad-CAM: where the model looked for"
            )
        with gr.Row():
            self.picture = _image("Brain window: center 40, width 80 HU")
            self.overlay = _image("With Grad-CAM: brighter is stronger")
        self.caption = gr.Markdown()

    def wire(self) -> None:
        results = [self.answers, self.headline, self.table, self.slice, self.refused]
        shown = [self.picture, self.overlay, self.caption]
        model: dict[str, Any] = {"concurrency_limit": 1, "concurrency_id": "model"}
        hidden: dict[str, Any] = {"api_visibility": "private", **model}
        self.predict.click(
            self.on_predict, [self.files, self.label], [*results, *shown],
            api_name="predict", **model,
        )  # fmt: skip
        self.example.click(self.on_example, [self.label], [*results, *shown], **hidden)
        gr.on(
            [self.slice.input, self.label.input], self.on_view,
            [self.answers, self.slice, self.label], shown, trigger_mode="always_last",
            show_progress="minimal", **hidden,
        )  # fmt: skip
        self.table.select(
            self.on_select, [self.answers, self.label], [self.slice, *shown],
            trigger_mode="always_last", show_progress="minimal", **hidden,
        )  # fmt: skip

    def on_predict(
        self,
        files: list[str] | None,
        label: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> list[Any]:
        """Answer for an upload and show its worst slice."""
        return _told(lambda: self._predict([Path(file) for file in files or ()], label, progress))

    def on_example(
        self,
        label: str,
        progress: gr.Progress = gr.Progress(),  # noqa: B008
    ) -> list[Any]:
        """Answer for the synthetic study, which is made at the first press."""
        return _told(lambda: self._predict(self._example_files(progress), label, progress))

    def on_view(self, answers: Answers | None, number: float, label: str) -> list[Any]:
        """Show another slice, or the map of another label."""
        return _told(lambda: self._show(answers, int(number), label))

    def on_select(self, answers: Answers | None, label: str, selected: gr.SelectData) -> list[Any]:
        """Show the slice of the row that was chosen; its number stands first in the row."""
        number = int(selected.row_value[0])
        return [number, *self.on_view(answers, number, label)]

    def _predict(self, paths: list[Path], label: str, progress: gr.Progress) -> list[Any]:
        def advance(done: int, total: int) -> None:
            progress((done, total), desc="Predicting", unit="slices")

        answers = analyse(self.predictor, paths, self.limits, advance)
        refused = refused_table(answers)
        count = len(answers.answered)
        slider = gr.Slider(1, max(count, 2), answers.worst or 1, interactive=count > 1)
        return [
            answers, headline(answers), slice_table(answers), slider,
            gr.Dataframe(refused, visible=bool(refused)),
            *self._show(answers, answers.worst, label),
        ]  # fmt: skip

    def _show(self, answers: Answers | None, number: int, label: str) -> list[Any]:
        if answers is None or not answers.answered:
            return [None, None, ""]
        shown = view(self.predictor, answers, number, "" if label == "none" else label)
        return [shown.picture, shown.overlay, shown.caption]

    def _example_files(self, progress: gr.Progress) -> list[Path]:
        if not self._example:
            progress(0, desc="Making a synthetic head")
            upload = Path(get_upload_folder())
            upload.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix="phantom-", dir=upload))
            write_studies(folder, 1, seed=7, subtypes=EXAMPLE_SUBTYPES, size=256, slices=(12, 12))
            self._example = sorted(folder.glob("study-*/*.dcm"))
        return self._example


def _image(label: str) -> gr.Image:
    return gr.Image(
        label=label, format="png", interactive=False, height=420, buttons=["fullscreen"],
        elem_classes="ich-picture",
        min_width=260,
    )  # fmt: skip


def _told(work: Callable[[], list[Any]]) -> list[Any]:
    """Turn what the user can act on into a message on the page; gradio hides everything else."""
    try:
        return work()
    except IchError as error:
        raise gr.Error(str(error), print_exception=False) from None
