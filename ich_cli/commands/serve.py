"""``ich serve``: the demo page on this machine."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from typing import Annotated

import typer

from ich_cli.console import note, progress, warn
from ich_cli.core.labels import RESEARCH_ONLY
from ich_cli.options import Device, Quiet, Weights

Host = Annotated[
    str,
    typer.Option("--host", metavar="HOST", help="Address to listen on; 0.0.0.0: every network."),
]
Port = Annotated[int, typer.Option("--port", min=1, max=65535, metavar="N", help="Port.")]
MaxFile = Annotated[
    int, typer.Option("--max-file-mb", min=1, metavar="N", help="Largest upload, in MiB a file.")
]
Open = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]


def serve(
    host: Host = "127.0.0.1",
    port: Port = 7860,
    weights: Weights = None,
    device: Device = "auto",
    max_file_mb: MaxFile = 512,
    open_browser: Open = False,
    quiet: Quiet = False,
) -> None:
    """Serve a page to upload studies to, with probabilities and where the model looked.

    Nothing leaves this machine. Uploads are deleted after about an hour, or when this ends.

    Example: ich serve --port 8080 --open
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when gradio is imported
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    with tempfile.TemporaryDirectory(prefix="ich-serve-") as uploads:
        os.environ["GRADIO_TEMP_DIR"] = uploads
        with progress("Loading the model", unit="", quiet=quiet):
            from gradio_app.app import build_demo, close, launch
            from ich_cli.core.predictor import Predictor

            predictor = Predictor.load(weights, device=device)
            demo = build_demo(predictor, max_file_mb)
        address = launch(demo, host=host, port=port, open_browser=open_browser)
        try:
            if host not in ("127.0.0.1", "localhost", "::1"):
                warn("everyone who can reach this machine can use the page; it has no password")
            if predictor.caveat:
                warn(predictor.caveat)
            sys.stdout.write(f"{address}\n")
            sys.stdout.flush()
            note(f"Ctrl-C ends it. {RESEARCH_ONLY}", quiet=quiet)
            _wait()
        finally:
            close(demo)


def _wait() -> None:
    """Return at Ctrl-C or SIGTERM, so that the uploads are deleted either way."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
