"""``ich serve``: serve the web page on this machine."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
from pathlib import Path
from typing import Annotated

import typer

from ich_cli.core.errors import UsageError
from ich_cli.core.labels import RESEARCH_ONLY
from ich_cli.terminal import Device, Engine, Quiet, note, progress, warn

Host = Annotated[
    str,
    typer.Option("--host", metavar="HOST", help="Address to listen on; 0.0.0.0 for all networks."),
]
Port = Annotated[int, typer.Option("--port", min=1, max=65535, metavar="N", help="Port.")]
Bundles = Annotated[
    list[str] | None,
    typer.Option(
        "--weights", "-w", metavar="BUNDLE", show_default=False,
        help="A bundle's folder, or owner/name@revision on the Hugging Face Hub; may be repeated "
        "to choose between bundles on the page. Default: ICH_WEIGHTS, or the shipped bundle.",
    ),
]  # fmt: skip
Auth = Annotated[
    list[str] | None,
    typer.Option(
        "--auth", envvar="ICH_AUTH", metavar="USER:PASSWORD", show_default=False,
        show_envvar=True,
        help="Require a login; may be repeated. @FILE reads one USER:PASSWORD per line.",
    ),
]  # fmt: skip
Share = Annotated[
    bool,
    typer.Option(
        "--share",
        help="Create a public address; uploads then pass through gradio's servers. Needs --auth.",
    ),
]
MaxFile = Annotated[
    int,
    typer.Option("--max-file-mb", min=1, metavar="N", help="Maximum upload size per file, in MiB."),
]
MaxSlices = Annotated[
    int,
    typer.Option("--max-slices", min=1, metavar="N", help="Maximum number of slices per upload."),
]
Concurrency = Annotated[
    int,
    typer.Option(
        "--concurrency", min=1, metavar="N", help="Number of studies analysed in parallel."
    ),
]
Queue = Annotated[
    int,
    typer.Option(
        "--queue",
        min=0,
        metavar="N",
        help="Maximum number of waiting studies.",
    ),
]
RootPath = Annotated[
    str | None,
    typer.Option(
        "--root-path", metavar="PATH", show_default=False,
        help="URL path of the page behind a proxy, such as /ich.",
    ),
]  # fmt: skip
Mcp = Annotated[
    bool,
    typer.Option("--mcp", help="Offer predict and explain as MCP tools; needs the extra 'mcp'."),
]
Open = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]


def serve(
    host: Host = "127.0.0.1",
    port: Port = 7860,
    weights: Bundles = None,
    device: Device = "auto",
    engine: Engine = "auto",
    auth: Auth = None,
    share: Share = False,
    max_file_mb: MaxFile = 512,
    max_slices: MaxSlices = 3000,
    concurrency: Concurrency = 1,
    queue: Queue = 64,
    root_path: RootPath = None,
    mcp: Mcp = False,
    open_browser: Open = False,
    quiet: Quiet = False,
) -> None:
    """Serve a web page that shows studies, probabilities and heat maps.

    Nothing leaves this machine. Uploads are deleted when their page is closed, after an hour at the
    latest, and when the server stops.

    Example: ich serve --port 8080 --open
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read on import of gradio
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    with tempfile.TemporaryDirectory(prefix="ich-serve-") as temporary:
        os.environ["GRADIO_TEMP_DIR"] = str(Path(temporary, "uploads"))
        with progress("Loading the model", unit="", quiet=quiet):
            from gradio_app.app import build_demo, close, launch
            from gradio_app.auth import check_mcp, load_bundles, parse_auth
            from gradio_app.service import Settings

            users = parse_auth(auth or ())
            if share and not users:
                raise UsageError("--share opens the page to the internet: add --auth")
            if mcp:
                check_mcp()
            bundles = load_bundles(weights or [], device, engine)
            settings = Settings(max_file_mb, max_slices, concurrency, queue)
            demo = build_demo(bundles, Path(temporary, "studies"), settings)
        try:
            address = launch(
                demo, host=host, port=port, open_browser=open_browser, auth=users,
                root_path=root_path, share=share, mcp=mcp,
            )  # fmt: skip
            if share:
                warn("uploads pass through gradio's servers while --share is on")
            elif host not in ("127.0.0.1", "localhost", "::1") and not users:
                warn("anyone who can reach this machine can use the page; add --auth for a login")
            for name, predictor in bundles.items():
                if predictor.caveat:
                    warn(f"{name}: {predictor.caveat}")
            sys.stdout.write(f"{address}\n")
            sys.stdout.flush()
            note(f"Press Ctrl-C to stop. {RESEARCH_ONLY}", quiet=quiet)
            _wait()
        finally:
            close(demo)
    _exit()


def _exit() -> None:
    """Exit without finalizing torch and gradio, which takes seconds; all files are closed."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _wait() -> None:
    """Wait for Ctrl-C or SIGTERM, so that the uploads are deleted in both cases."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
