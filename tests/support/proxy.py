"""Reverse proxy that serves the page below a path, like nginx in docs/serve.md."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import urlsplit

PREFIX = "/ich"


class _Handler(BaseHTTPRequestHandler):
    target: tuple[str, int]

    def _forward(self) -> None:
        if not self.path.startswith(f"{PREFIX}/"):
            self.send_error(404)
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        host = self.headers["Host"]
        headers = {**self.headers, "X-Forwarded-Host": host, "X-Forwarded-Proto": "http"}
        upstream = http.client.HTTPConnection(*self.target, timeout=60)
        try:
            upstream.request(self.command, self.path.removeprefix(PREFIX), body, headers)
            self._hand_back(upstream.getresponse())
        except (BrokenPipeError, ConnectionResetError):
            pass  # the page was closed during the response
        finally:
            upstream.close()

    def _hand_back(self, answer: http.client.HTTPResponse) -> None:
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "server", "date"):
                self.send_header(name, value)
        self.end_headers()  # HTTP/1.0: the end of the connection is the end of the body
        while some := answer.read1(65536):
            self.wfile.write(some)
            self.wfile.flush()

    do_GET = do_POST = do_HEAD = _forward

    def log_message(self, format: str, *args: object) -> None:
        """Do not log."""


@contextmanager
def proxied(address: str) -> Iterator[str]:
    """Serve the page at `address` below a path; yield the new address."""
    parts = urlsplit(address)
    handler = type("Handler", (_Handler,), {"target": (parts.hostname, parts.port)})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}{PREFIX}"
        server.shutdown()
