"""Tests of `--share` with a fake tunnel in place of gradio's servers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.serving import environment, free_port

TUNNEL = "https://0123456789.gradio.live"

# in a child process, so that gradio's threads and sockets end with it
SHARE = f"""
import sys
import gradio.networking
from ich_cli.commands import serve
from ich_cli.main import main

def setup_tunnel(**given):
    print("tunnel to", given["local_port"], file=sys.stderr)
    return "{TUNNEL}"

gradio.networking.setup_tunnel = setup_tunnel
serve._wait = lambda: None
main()
"""


@pytest.mark.slow
def test_public_url_is_printed_with_a_warning(tiny_bundle: Path, tmp_path: Path) -> None:
    port = free_port()
    options = ["--share", "--auth", "ann:secret", "-w", str(tiny_bundle), "--port", str(port)]

    shared = subprocess.run(
        [sys.executable, "-c", SHARE, "serve", *options], env=environment(tmp_path),
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert shared.returncode == 0, shared.stderr
    assert shared.stdout == f"{TUNNEL}\n"
    assert f"tunnel to {port}" in shared.stderr
    assert "uploads pass through gradio's servers while --share is on" in shared.stderr
    assert "secret" not in shared.stdout + shared.stderr
