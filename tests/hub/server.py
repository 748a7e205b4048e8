"""A Hugging Face Hub on localhost: the HTTP protocol as huggingface_hub 2.4 speaks it.

Only what `ich` needs, but that in full: creating repositories, preupload, the LFS batch with its
uploads and verification, commits as NDJSON with a parent, branches, tags, the tree in pages,
resolve with ETag and commit headers and a redirect to another host for large files, ranges, YAML
validation, a Space's variables; tokens, private and gated repositories. What goes wrong on real
networks is simulated with `fault`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub.answers import ROUTES
from tests.hub.repositories import Blob, Repository, blob

WRITE, READ = "hf_write", "hf_read"


@dataclass
class Fault:
    """Simulated failure of requests with a given method and path, a number of times."""

    method: str
    path: str
    times: int = 1
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    """Bytes of the body after which the connection is closed."""
    stall_after: int | None = None
    """Bytes of the body after which the response stalls."""
    flip: bool = False
    """Invert the last byte of the body."""
    before: Callable[[], None] | None = None
    """Function called before the response."""


@dataclass(frozen=True)
class Seen:
    method: str
    path: str
    token: str | None
    headers: dict[str, str]


class Hub:
    """Server with its repositories and the requests that it received."""

    def __init__(self) -> None:
        self.repositories: dict[tuple[str, str], Repository] = {}
        self.objects: dict[str, bytes] = {}
        self.seen: list[Seen] = []
        self.unknown: list[str] = []
        self.faults: list[Fault] = []
        self.released = Event()
        self.lock = Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._http.daemon_threads = True
        self._http.hub = self  # type: ignore[attr-defined]
        self._thread = Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def storage(self) -> str:
        """Address of large files: another host, which must not receive a token."""
        return f"http://localhost:{self._http.server_port}"

    def close(self) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def publish(
        self, repo: str, files: dict[str, bytes], *, kind: str = "model", **settings: Any
    ) -> str:
        """Commit files to a repository and return the commit."""
        repository = self.repositories.setdefault((kind, repo), Repository(**settings))
        made = repository.commit("main", {p: blob(p, d) for p, d in files.items()}, [], "by hand")
        return made.oid

    def model(self, repo: str) -> Repository:
        return self.repositories["model", repo]

    def fault(self, method: str, path: str, **what: Any) -> None:
        self.faults.append(Fault(method, path, **what))

    def fault_for(self, method: str, path: str) -> Fault:
        with self.lock:
            for one in self.faults:
                if one.times > 0 and one.method == method and re.search(one.path, path):
                    one.times -= 1
                    return one
        return Fault("", "")

    def requests(self, method: str, path: str) -> list[Seen]:
        """Return the requests with this method and path pattern."""
        return [one for one in self.seen if one.method == method and re.search(path, one.path)]

    def store(self, data: bytes) -> str:
        oid = Blob(data, True).sha256
        self.objects[oid] = data
        return oid


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def setup(self) -> None:
        super().setup()
        self.hub = self.server.hub  # type: ignore[attr-defined]

    def log_message(self, *_: Any) -> None:
        """Write no log."""

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (ConnectionError, TimeoutError):
            self.close_connection = True

    def do_GET(self) -> None:
        self._answer()

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self) -> None:
        url = urlsplit(self.path)
        path = unquote(url.path)
        self.query = parse_qs(url.query)
        header = self.headers.get("Authorization", "")
        self.token = header.removeprefix("Bearer ") or None
        self.body = self._read()
        self.hub.seen.append(Seen(self.command, path, self.token, dict(self.headers)))
        self.fault = self.hub.fault_for(self.command, path)
        if self.fault.before:
            self.fault.before()
        if self.fault.status:
            self.send(self.fault.status, {"error": "simulated"}, self.fault.headers)
            return
        if self.token not in (None, WRITE, READ):
            refused = "Invalid credentials in Authorization header"
            self.send(401, {"error": refused}, {"X-Error-Message": refused})
            return
        for method, pattern, answer in ROUTES:
            found = re.fullmatch(pattern, url.path)
            if found and self.command in method.split():
                parts = {k: unquote(v) if v else v for k, v in found.groupdict().items()}
                answer(self, **parts)
                return
        if path != "/api/agent-harnesses":
            self.hub.unknown.append(f"{self.command} {path}")
        self.send(404, {"error": "Sorry, we can't find the page you are looking for."})

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def send(self, status: int, content: Any = b"", headers: dict[str, str] | None = None) -> None:
        """Send the response, with the simulated failures."""
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        if self.fault.flip:
            data = data[:-1] + bytes([data[-1] ^ 1])
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command == "HEAD":
            return
        limit = next((n for n in (self.fault.cut_after, self.fault.stall_after) if n is not None),
                     None)  # fmt: skip
        self.wfile.write(data[:limit])
        if limit is not None:
            self.wfile.flush()
            if self.fault.stall_after is not None:
                self.hub.released.wait(20)
            self.close_connection = True
