"""Tests of the running server: HTTP API, limits, and clean-up."""

from __future__ import annotations

import base64
import http.client
import json
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from ich_cli.core.labels import LABELS
from tests.support.serving import (
    CAVEAT,
    PATIENT,
    Served,
    command,
    environment,
    named_study,
    serving,
)

pytestmark = pytest.mark.slow

# clients run in child processes: their libraries leave sockets open
CLIENT = """
import json, sys
from gradio_client import Client, handle_file
address, folder, *files = sys.argv[1:]
client = Client(address, verbose=False, download_files=folder)
sent = [handle_file(file) for file in files]
predicted = client.predict(sent, api_name="/predict")
explained = client.predict(sent, label="subdural", bundle="other", api_name="/explain")
print(json.dumps([predicted, explained, client.view_api(print_info=False, return_format="dict")]))
"""

MCP = """
import asyncio, json, sys
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client

async def ask(address, path):
    async with streamablehttp_client(address + "gradio_api/mcp/") as (read, write, _):
        async with ClientSession(read, write) as session:
            await session.initialize()
            tools = (await session.list_tools()).tools
            given = {"files": [path], "picture": False}
            answer = await session.call_tool("explain", given)
            print(json.dumps([{t.name: t.inputSchema for t in tools}, answer.content[0].text]))

asyncio.run(ask(*sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def upload(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("upload")
    notes = folder / f"{PATIENT}.txt"
    notes.write_text("no image", "utf-8")
    return [*named_study(folder), notes]


@pytest.fixture(scope="module")
def served(
    tiny_bundle: Path, other_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    weights = ["-w", str(tiny_bundle), "-w", str(other_bundle)]
    temporary = tmp_path_factory.mktemp("served")
    with serving(temporary, *weights, "--mcp", "--max-file-mb", "1") as found:
        yield found


def request(
    served: Served, method: str, path: str, body: bytes = b"", **headers: str
) -> tuple[int, bytes]:
    parts = urlsplit(served.address)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=60)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def send(served: Served, content: bytes, name: str = "scan") -> tuple[int, Any]:
    """Upload a file as curl does; return the status and the paths."""
    head = f'--x\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'
    body = head.encode() + content + b"\r\n--x--\r\n"
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    status, text = request(served, "POST", "/gradio_api/upload", body, **kind)
    return status, json.loads(text) if text[:1] in b"[{" else text.decode()


def call(served: Served, name: str, *data: Any) -> tuple[str, Any]:
    """Call an endpoint as docs/http-api.md does with curl; return the event and its data."""
    body = json.dumps({"data": data}).encode()
    kind = {"Content-Type": "application/json"}
    status, text = request(served, "POST", f"/gradio_api/call/{name}", body, **kind)
    assert status == 200, text
    _, stream = request(served, "GET", f"/gradio_api/call/{name}/{json.loads(text)['event_id']}")
    lines = [line for line in stream.decode().splitlines() if line]
    return lines[-2].removeprefix("event: "), json.loads(lines[-1].removeprefix("data: "))


def run(script: str, *arguments: str, temporary: Path) -> Any:
    given = [sys.executable, "-c", script, *arguments]
    env = environment(temporary)
    finished = subprocess.run(given, env=env, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def test_python_client_gets_typed_responses(
    served: Served, upload: list[Path], tmp_path: Path
) -> None:
    files = [served.address, str(tmp_path / "client"), *map(str, upload)]
    predicted, explained, api = run(CLIENT, *files, temporary=tmp_path)

    assert list(api["named_endpoints"]) == ["/predict", "/explain"]
    returned = api["named_endpoints"]["/predict"]["returns"][0]["type"]["properties"]
    assert list(returned) == ["bundle", "thresholds", "studies", "slices", "refused", "warning"]
    assert predicted["bundle"] == "tiny"
    assert [one["file"] for one in predicted["slices"]] == [1, 2, 3, 4]
    assert list(predicted["slices"][0]["probabilities"]) == list(LABELS)
    assert predicted["studies"][0]["verdict"] in ("positive", "unsure", "negative")
    assert [one["file"] for one in predicted["refused"]] == [5]
    assert CAVEAT in predicted["warning"]
    assert "Planted" not in json.dumps(predicted)
    assert (explained["bundle"], explained["label"]) == ("other", "subdural")
    assert base64.b64decode(explained["png"]).startswith(b"\x89PNG")


def test_plain_http_works(served: Served, upload: list[Path]) -> None:
    _, paths = send(served, upload[1].read_bytes())

    event, (answer,) = call(
        served, "predict", [{"path": paths[0], "meta": {"_type": "gradio.FileData"}}], ""
    )
    assert event == "complete", answer
    assert len(answer["slices"]) == 1
    event, (answer,) = call(served, "explain", paths, 1, "any", "", False, 0)
    assert event == "complete", answer
    assert (answer["slice"], answer["png"]) == (1, "")
    assert len(answer["peak"]) in (0, 2)  # an empty map has no peak


def test_slices_are_numbered_by_position_as_on_the_page(
    served: Served, upload: list[Path], tmp_path: Path
) -> None:
    other = named_study(tmp_path, slices=2, seed=8)
    turned = [send(served, path.read_bytes())[1][0] for path in [*reversed(upload[:4]), *other]]

    _, (answer,) = call(served, "predict", turned, "")
    _, (explained,) = call(served, "explain", turned, 1, "any", "", False, 1)
    event, message = call(served, "explain", turned, 1, "any", "", False, 0)
    _, absent = call(served, "explain", turned, 3, "any", "", False, 2)

    numbers = [(one["series"], one["slice"], one["file"]) for one in answer["slices"]]
    assert numbers == [(1, 1, 4), (1, 2, 3), (1, 3, 2), (1, 4, 1), (2, 1, 5), (2, 2, 6)]
    assert (explained["series"], explained["slice"], explained["file"]) == (1, 1, 4)
    assert explained["probability"] == answer["slices"][0]["probabilities"]["any"]
    assert (event, "there are 2 series: choose one" in str(message)) == ("error", True)
    assert "there is no slice 3 in series 2" in str(absent)


def test_mcp_offers_both_endpoints_as_tools(
    served: Served, upload: list[Path], tmp_path: Path
) -> None:
    pytest.importorskip("mcp")
    _, paths = send(served, upload[2].read_bytes())

    tools, answer = run(MCP, served.address, paths[0], temporary=tmp_path)

    assert list(tools) == ["predict", "explain"]
    assert tools["explain"]["properties"]["label"]["enum"] == list(LABELS)
    assert (
        json.loads(answer.replace("'", '"').replace("False", "false").replace("True", "true"))[
            "label"
        ]
        == "any"
    )


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/etc/passwd", "the upload is no longer there"), ("../../etc/passwd", "no longer there"),
     ("http://127.0.0.1:1/x", "the upload is no longer there")],
)  # fmt: skip
def test_only_uploads_are_read(served: Served, path: str, expected: str) -> None:
    event, message = call(served, "predict", [path], "")
    assert event == "error"
    assert expected in str(message)
    for data in ({"path": path, "meta": {"_type": "gradio.FileData"}}, {"path": path}):
        event, message = call(served, "predict", [data], "")
        assert event == "error"
        assert "root:" not in str(message)


@pytest.mark.parametrize(
    "path",
    ["/gradio_api/file=/etc/passwd", "/gradio_api/file=..%2f..%2fetc%2fpasswd",
     "/static/../../../../etc/passwd", "/assets/..%2f..%2f..%2fetc%2fpasswd",
     "/gradio_api/proxy=http://127.0.0.1/", "/..%2f..%2fetc/passwd", "/svelte/..%2f..%2fx"],
)  # fmt: skip
def test_no_other_path_is_served(served: Served, path: str) -> None:
    status, body = request(served, "GET", path)
    assert status in (400, 403, 404)
    assert b"root:" not in body


def test_uploaded_file_is_not_served_back(served: Served, upload: list[Path]) -> None:
    _, paths = send(served, upload[0].read_bytes())
    assert request(served, "GET", f"/gradio_api/file={paths[0]}")[0] == 404


def test_uploads_are_bounded(served: Served) -> None:
    status, _ = send(served, b"x" * (2**20 + 1000))
    assert status == 413
    status, message = send(served, b"x" * (2**21 + 1000))
    assert (status, message["detail"]) == (413, "too large: at most 2 MiB in one upload")


def test_analytics_and_history_are_off(served: Served) -> None:
    status, body = request(served, "GET", "/")
    assert status == 200
    config = json.loads(request(served, "GET", "/config")[1])
    assert config["analytics_enabled"] is False
    assert config["run_history"] is False
    assert b"fonts.googleapis.com" not in body


def test_page_can_be_installed_as_an_app(served: Served) -> None:
    manifest = json.loads(request(served, "GET", "/manifest.json")[1])
    assert (manifest["name"], manifest["start_url"]) == ("Intracranial hemorrhage on head CT", "./")
    assert manifest["display"] == "standalone"
    icons = {icon["sizes"]: icon["src"] for icon in manifest["icons"]}
    assert list(icons) == ["192x192", "512x512"]
    for sizes, src in icons.items():
        assert not src.startswith("/")  # relative: it holds below a sub-path, too
        status, body = request(served, "GET", f"/{src}")
        assert (status, body[:8]) == (200, b"\x89PNG\r\n\x1a\n")
        side = int(sizes.split("x")[0])  # width and height stand in the header (PNG 11.2.2)
        assert struct.unpack(">II", body[16:24]) == (side, side)


@pytest.mark.parametrize("side", ["20000", "0", "-1", "192192"])
def test_icons_of_no_other_size_are_drawn(served: Served, side: str) -> None:
    assert request(served, "GET", f"/pwa_icon/{side}")[0] == 404


def test_auth_requires_a_password(tiny_bundle: Path, tmp_path: Path) -> None:
    with serving(tmp_path, "-w", str(tiny_bundle), "--auth", "ann:secret") as served:
        locked = {
            path: request(served, "GET", path)[0]
            for path in ("/config", "/gradio_api/info", "/gradio_api/queue/data?session_hash=x")
        }
        upload, _ = send(served, b"x")
        finished, _ = request(served, "POST", "/gradio_api/component_server", b"{}")
        message = served.stop()
    assert set(locked.values()) == {401}
    assert (upload, finished) == (401, 401)
    assert "secret" not in message


def test_server_stops_at_once_and_deletes_all_files(
    tiny_bundle: Path, upload: list[Path], tmp_path: Path
) -> None:
    with serving(tmp_path, "-w", str(tiny_bundle)) as served:
        port = int(urlsplit(served.address).port or 0)
        send(served, upload[0].read_bytes(), "scan.dcm")
        lying = len(served.files)
        stream = http.client.HTTPConnection("127.0.0.1", port, timeout=60)  # an open page
        stream.request("GET", "/gradio_api/heartbeat/open")
        assert stream.getresponse().status == 200
        taken = subprocess.run(
            command(port, "-w", str(tiny_bundle)), env=environment(tmp_path),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        message = served.stop()
        stream.close()

    assert served.address == f"http://127.0.0.1:{port}/"
    assert lying >= 1
    assert served.process.returncode == 0
    assert CAVEAT in message
    assert "Traceback" not in message
    assert "Planted" not in message
    assert taken.returncode == 1
    assert f"ich: cannot listen on 127.0.0.1:{port}; choose another --port" in taken.stderr
    assert list(tmp_path.glob("ich-serve-*")) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--share"], "--share opens the page to the internet: add --auth"),
     (["--auth", "secret"], "--auth: user:password expected")],
)  # fmt: skip
def test_wrong_usage_exits_with_a_message(options: list[str], message: str, tmp_path: Path) -> None:
    finished = subprocess.run(
        command(7999, *options), env=environment(tmp_path), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert finished.returncode == 2
    assert message in finished.stderr
