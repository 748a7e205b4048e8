"""Tests of the security middleware: no file serving, and upload limits."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gradio_app.middleware import SecurityMiddleware


async def _fine(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"fine"})


def respond(
    folder: Path, path: str, method: str = "GET", free: int = 0, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    sent_messages: list[dict[str, Any]] = []

    async def send(message: Any) -> None:
        sent_messages.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    pairs = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
    scope = {"type": "http", "path": path, "method": method, "headers": pairs}
    asyncio.run(
        SecurityMiddleware(_fine, folder, max_bytes=2**20, free_bytes=free)(scope, receive, send)
    )
    sent = {k.decode(): v.decode() for k, v in sent_messages[0]["headers"]}
    return sent_messages[0]["status"], sent, sent_messages[1]["body"]


def test_policy_allows_only_requests_to_the_same_server(tmp_path: Path) -> None:
    status, headers, body = respond(tmp_path, "/")

    assert (status, body) == (200, b"fine")
    assert "connect-src 'self';" in headers["content-security-policy"]
    assert "default-src 'self';" in headers["content-security-policy"]
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "path",
    ["/gradio_api/file=/etc/passwd", "/file=/etc/passwd", "/gradio_api/file=../../etc/passwd",
     "/gradio_api/file=http://example.com/x", "/ich/gradio_api/file=x", "/gradio_api/file/x",
     "/gradio_api/proxy=http://example.com/", "/gradio_api/stream/a/b/c/playlist.m3u8"],
)  # fmt: skip
def test_no_file_is_served(path: str, tmp_path: Path) -> None:
    assert respond(tmp_path, path)[0] == 404


@pytest.mark.parametrize(
    ("length", "status"), [("1048576", 200), ("1048577", 413), ("", 411), ("-1", 411), ("x", 411)]
)
def test_upload_needs_a_length_within_the_limit(length: str, status: int, tmp_path: Path) -> None:
    found = respond(tmp_path, "/gradio_api/upload", "POST", content_length=length)
    assert found[0] == status


def test_upload_without_length_is_refused(tmp_path: Path) -> None:
    assert respond(tmp_path, "/gradio_api/upload", "POST")[0] == 411


def test_upload_needs_free_disk_space(tmp_path: Path) -> None:
    status, _, body = respond(
        tmp_path, "/gradio_api/upload", "POST", free=2**60, content_length="9"
    )

    assert status == 507
    assert b"not enough disk space for uploads" in body
