"""The demo page: open a study, see what the model says of it, and where it looked.

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

_CLEAN_EVERY_S, _KEEP_S = 300, 3600  # gradio's own temporary files
_BACKLOG: Final = 1000  # the line before the model is our own, and shorter


@dataclass(frozen=True)
class Demo:
    """The page and what stands behind it."""

    blocks: gr.Blocks
    service: Service


def build_demo(
    predictors: Mapping[str, Predictor], folder: Path, settings: Settings | None = None
) -> Demo:
    """Lay out the page around loaded bundles; `launch` serves it.

    Parameters
    ----------
    predictors
        Bundle's name → the bundle, loaded; several can be switched between on the page.
    folder
        Private folder for studies; deleted by whoever made it.
    settings
        Bounds on uploads, slices and waiting.
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
        As `build_demo` made it.
    host, port
        Where to listen.
    open_browser
        Whether to open the page in the default browser.
    auth
        Users and passwords; without any, everyone may use the page.
    root_path
        Path or address under which a proxy serves the page.
    share
        Whether to open a public address through gradio's servers.
    mcp
        Whether to offer the API as tools of the Model Context Protocol.

    Raises
    ------
    IchError
        If the address cannot be had.
    """
    settings = demo.service.settings
    security = Middleware(
        SecurityMiddleware, folder=Path(get_upload_folder()), max_bytes=settings.max_upload_bytes
    )
    try:
        # gradio tells about MCP on stdout, where the address alone belongs
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
        raise IchError(
            f"{host}:{port} cannot be listened on; choose another --port, or another --host"
        ) from None
    demo.service.start()
    return str(shared or address)


def close(demo: Demo) -> None:
    """Stop serving at once: a page that stands open in a browser is not waited for."""
    if getattr(demo.blocks, "server", None) is not None:  # there is none before the launch
        demo.blocks.server.force_exit = True
        # the server would tell with a traceback that it was not left the time to wait
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    demo.blocks.close(verbose=False)
    demo.service.close()
