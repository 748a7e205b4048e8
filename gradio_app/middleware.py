"""What stands before the server: bounds on uploads, no files served, headers that shut the page in.

The content security policy lets the browser talk to this server alone: no request leaves it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gradio_app.theme import MANIFEST, MANIFEST_ICONS

FREE_BYTES: Final = 2**30
"""Free space that uploads must leave on the disk."""

_POLICY: Final = "; ".join((
    "default-src 'self'",
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'",  # gradio compiles its templates
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data: blob:",
    "font-src 'self' data:",
    "connect-src 'self'",
    "worker-src 'self' blob:",
    "object-src 'none'",
    "base-uri 'self'",
    "form-action 'self'",
    "frame-ancestors 'self'",
))  # fmt: skip
_HEADERS: Final = {
    "content-security-policy": _POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
_FILES: Final = ("/file=", "/file/", "/proxy=", "/stream/")  # nothing of ours is served by these


class SecurityMiddleware:
    """ASGI middleware around the whole server.

    Parameters
    ----------
    app
        The server.
    folder
        Where uploads are put.
    max_bytes
        Bound on one request that uploads.
    free_bytes
        Space that an upload must leave on the disk.
    """

    def __init__(
        self, app: ASGIApp, folder: Path, max_bytes: int, free_bytes: int = FREE_BYTES
    ) -> None:
        self._app, self._folder = app, folder
        self._max_bytes, self._free_bytes = max_bytes, free_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or hand on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def shut(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        own = self._answer(scope)
        await (own or self._app)(scope, receive, shut)

    def _answer(self, scope: Scope) -> JSONResponse | None:
        path: str = scope["path"]
        if path.endswith("/manifest.json"):  # gradio's own is wrong below a sub-path
            return JSONResponse(MANIFEST, media_type="application/manifest+json")
        if "/pwa_icon/" in path and not path.endswith(MANIFEST_ICONS):
            return _refuse(404, "no such icon")  # gradio would draw one of any size
        if any(part in path for part in _FILES):
            return _refuse(404, "no such page")
        if scope["method"] == "POST" and path.rstrip("/").endswith("/upload"):
            return self._check_upload(dict(scope["headers"]))
        return None

    def _check_upload(self, headers: dict[bytes, bytes]) -> JSONResponse | None:
        length = headers.get(b"content-length", b"").decode("latin-1")
        if not length.isdecimal():
            return _refuse(411, "an upload must say its length")
        if int(length) > self._max_bytes:
            return _refuse(413, f"too large: at most {self._max_bytes >> 20} MiB in one upload")
        if shutil.disk_usage(self._folder).free - int(length) < self._free_bytes:
            return _refuse(507, "busy: no room for uploads now; try again later")
        return None


def _refuse(status: int, detail: str) -> JSONResponse:
    body: dict[str, Any] = {"detail": detail}
    return JSONResponse(body, status)
