"""Security middleware: upload limits, no file serving, and security headers.

The content security policy restricts the browser to requests to this server.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gradio_app.theme import MANIFEST, MANIFEST_ICONS

FREE_BYTES: Final = 2**30
"""Free disk space that uploads must leave, in bytes."""

_POLICY: Final = "; ".join((
    "default-src 'self'",
    "script-src 'self' 'unsafe-inline' 'unsafe-eval'",  # gradio compiles templates at run time
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
_FILES: Final = (
    "/file=",
    "/file/",
    "/proxy=",
    "/stream/",
)  # routes of gradio that this page does not use


class SecurityMiddleware:
    """ASGI middleware around the whole server.

    Parameters
    ----------
    app
        Wrapped ASGI application.
    folder
        Folder of the uploads.
    max_bytes
        Maximum size of one upload request.
    free_bytes
        Free disk space that an upload must leave.
    """

    def __init__(
        self, app: ASGIApp, folder: Path, max_bytes: int, free_bytes: int = FREE_BYTES
    ) -> None:
        self._app, self._folder = app, folder
        self._max_bytes, self._free_bytes = max_bytes, free_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse the request or pass it on; add the security headers to the response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        response = self._own_response(scope)
        await (response or self._app)(scope, receive, send_with_headers)

    def _own_response(self, scope: Scope) -> JSONResponse | None:
        path: str = scope["path"]
        if path.endswith("/manifest.json"):  # gradio's own manifest is wrong below a sub-path
            return JSONResponse(MANIFEST, media_type="application/manifest+json")
        if "/pwa_icon/" in path and not path.endswith(MANIFEST_ICONS):
            return _refuse(404, "no such icon")  # gradio would render any size
        if any(part in path for part in _FILES):
            return _refuse(404, "no such page")
        if scope["method"] == "POST" and path.rstrip("/").endswith("/upload"):
            return self._check_upload(dict(scope["headers"]))
        return None

    def _check_upload(self, headers: dict[bytes, bytes]) -> JSONResponse | None:
        length = headers.get(b"content-length", b"").decode("latin-1")
        if not length.isdecimal():
            return _refuse(411, "an upload must have a Content-Length header")
        if int(length) > self._max_bytes:
            return _refuse(413, f"too large: at most {self._max_bytes >> 20} MiB in one upload")
        if shutil.disk_usage(self._folder).free - int(length) < self._free_bytes:
            return _refuse(507, "busy: not enough disk space for uploads; try again later")
        return None


def _refuse(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status)
