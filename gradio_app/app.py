"""Gradio app: the page of `ich serve` and the HTTP API.

demo = build_demo({"default": Predictor.load()}, folder)
address = launch(demo, host="127.0.0.1", port=7860)
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gradio as gr
from gradio.utils import get_upload_folder
from starlette.middleware import Middleware

from gradio_app.api import add_api
from gradio_app.component import Viewer
from gradio_app.middleware import SecurityMiddleware
from gradio_app.service import Service, Settings
from gradio_app.theme import ICON, STYLES, TITLE, theme
from ich_cli.core.errors import IchError
from ich_cli.core.labels import RESEARCH_ONLY

if TYPE_CHECKING:
    from ich_cli.core.predict import Predictor

_CLEAN_EVERY_S, _KEEP_S = 300, 3600  # gradio's temporary files
_BACKLOG: Final = 1000  # events of the page; the studies wait in job_queue.py


@dataclass(frozen=True)
class Demo:
    """The page and the service behind it."""

    blocks: gr.Blocks
    service: Service


def build_demo(
    predictors: Mapping[str, Predictor], folder: Path, settings: Settings | None = None
) -> Demo:
    """Build the page for loaded bundles; `launch` serves it.

    Parameters
    ----------
    predictors
        Bundle name → predictor; the page can switch between several.
    folder
        Private folder for studies; the caller deletes it.
    settings
        Limits for uploads, slices and the queue.
    """
    uploads = Path(get_upload_folder())
    uploads.mkdir(parents=True, exist_ok=True)
    service = Service(predictors, folder, uploads, settings)
    viewer = Viewer(service)
    blocks: gr.Blocks
    with gr.Blocks(
        title=TITLE, analytics_enabled=False, delete_cache=(_CLEAN_EVERY_S, _KEEP_S),
        fill_width=True,
    ) as blocks:  # fmt: skip
        page = viewer.component()
        hidden: dict[str, Any] = {
            "outputs": page, "api_visibility": "private", "show_progress": "hidden",
            "concurrency_limit": None, "trigger_mode": "multiple",
        }  # fmt: skip
        blocks.load(viewer.on_open, **hidden)
        page.study(viewer.on_study, **hidden)
        blocks.unload(viewer.on_leave)
        add_api(blocks, service)
    blocks.max_file_size = service.settings.max_file_mb * 2**20
    blocks.queue(max_size=_BACKLOG, default_concurrency_limit=None)
    return Demo(blocks, service)


def launch(
    demo: Demo,
    *,
    host: str,
    port: int,
    open_browser: bool = False,
    auth: Sequence[tuple[str, str]] = (),
    root_path: str | None = None,
    share: bool = False,
    mcp: bool = False,
) -> str:
    """Serve the page in the background and return its address.

    Parameters
    ----------
    demo
        Result of `build_demo`.
    host, port
        Address to listen on.
    open_browser
        Open the page in the default browser.
    auth
        Users and passwords; if empty, no login is required.
    root_path
        Path or URL under which a proxy serves the page.
    share
        Create a public URL through gradio's servers.
    mcp
        Offer the API as tools of the Model Context Protocol.

    Raises
    ------
    IchError
        If the port cannot be opened.
    """
    settings = demo.service.settings
    security = Middleware(
        SecurityMiddleware, folder=Path(get_upload_folder()), max_bytes=settings.max_upload_bytes
    )
    try:
        # gradio prints about MCP on stdout, which holds only the address
        with redirect_stdout(sys.stderr):
            _, address, shared = demo.blocks.launch(
                server_name=host, server_port=port, inbrowser=open_browser,
                prevent_thread_lock=True, quiet=True, share=share, auth=list(auth) or None,
                auth_message=RESEARCH_ONLY, root_path=root_path, ssr_mode=False, pwa=True,
                mcp_server=mcp, enable_monitoring=False, run_history=False, footer_links=[],
                max_file_size=demo.blocks.max_file_size, favicon_path=ICON,
                theme=theme(), css_paths=list(STYLES), app_kwargs={"middleware": [security]},
            )  # fmt: skip
    except OSError:
        raise IchError(f"cannot listen on {host}:{port}; choose another --port or --host") from None
    demo.service.start()
    return str(shared or address)


def close(demo: Demo) -> None:
    """Stop the server at once, without waiting for pages that are still open."""
    if getattr(demo.blocks, "server", None) is not None:  # set by launch
        demo.blocks.server.force_exit = True
        # uvicorn would log a traceback for each connection that it drops
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    demo.blocks.close(verbose=False)
    demo.service.close()
