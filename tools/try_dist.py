"""Install the wheel in dist/ into an empty environment and use it outside the source tree.

    python -m tools.try_dist

Runs `pip install ich_cli-….whl` with all dependencies, in the versions of constraints.txt. These
gigabytes are deleted at the end. ``--site FOLDER`` uses the dependencies of another environment's
site-packages instead.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import socket
import subprocess
import tempfile
import time
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
LARGEST: Final = 20_000_000  # bytes of a wheel or sdist


def main() -> None:
    """Try the wheel in dist/; a failure raises."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--site", type=Path, help="site-packages with the dependencies")
    site = parser.parse_args().site
    (wheel,) = (ROOT / "dist").glob("*.whl")
    for made in (ROOT / "dist").iterdir():
        if made.stat().st_size > LARGEST:
            raise SystemExit(f"{made.name} has {made.stat().st_size / 1e6:.1f} MB: too large")
        print(f"{made.name}: {made.stat().st_size / 1e6:.1f} MB")
    with tempfile.TemporaryDirectory(prefix="ich-try-") as folder:
        with timed("installed"):
            python = install(Path(folder) / "env", wheel, site)
        try_commands(python, Path(folder) / "work")


def install(folder: Path, wheel: Path, site: Path | None) -> Path:
    """Create an environment with the wheel and its dependencies; return its Python."""
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-cache-dir"]
    if site is None:
        subprocess.run([*pip, "--constraint", f"{ROOT}/constraints.txt", str(wheel)], check=True)
    else:
        subprocess.run([*pip, "--no-deps", str(wheel)], check=True)
        own = next((folder / "lib").glob("python*/site-packages"))
        # a plain path: .pth files of the other environment, such as an editable ich, are not read
        (own / "borrowed.pth").write_text(f"{site.resolve()}\n")
    return python


def try_commands(python: Path, work: Path) -> None:
    """Run the first commands of a new user."""
    work.mkdir()
    where = run(python, work, "-c", "import ich_cli, gradio_app; print(ich_cli.__file__)")
    if not Path(where.strip()).is_relative_to(python.parents[1]):
        raise SystemExit(f"the installed package was not imported: {where}")
    with timed("ich --help"):
        run(python, work, "-m", "ich_cli", "--help")
    with timed("ich info"):
        run(python, work, "-m", "ich_cli", "info")
    with timed("ich phantom"):
        run(python, work, "-m", "ich_cli", "phantom", "scans", "--size", "128", "--quiet")
    with timed("ich predict"):
        run(python, work, "-m", "ich_cli", "predict", "scans", "-o", "out.csv")
        with (work / "out.csv").open() as lines:
            rows = [row for row in csv.DictReader(lines) if row["status"] == "ok"]
        if not rows or not all(0 <= float(row["any"]) <= 1 for row in rows):
            raise SystemExit(f"{len(rows)} slices were predicted")
        print(f"{len(rows)} slices predicted by the bundle in the wheel")
    with timed("ich serve"):
        try_page(python, work)


def try_page(python: Path, work: Path) -> None:
    """Start the page and check that its style, script and icon are served."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    options = ["-m", "ich_cli", "serve", "--port", port]
    with subprocess.Popen(
        [python, *options], cwd=work, env=environment(), text=True, stdout=subprocess.PIPE
    ) as server:
        try:
            address = (server.stdout.readline() if server.stdout else "").strip().rstrip("/")
            text = urllib.request.urlopen(f"{address}/", timeout=60).read().decode()
            icon = urllib.request.urlopen(f"{address}/favicon.ico", timeout=60).read()
        finally:
            server.terminate()
    package = next((python.parents[1] / "lib").glob("python*/site-packages/gradio_app/static"))
    if icon != (package / "icon.png").read_bytes():
        raise SystemExit("the page's icon is not the one in the wheel")
    for name in ("viewer.css", "viewer.html", "events.js"):
        words = re.findall(r"[\w-]{12,}", (package / name).read_text("utf-8"))
        missing = [word for word in words if word not in text]
        if missing:
            raise SystemExit(f"{name} is not on the page: {missing[:3]}")
    print(f"{address} served the page, {len(text) / 1e3:.0f} kB")


def run(python: Path, work: Path, *arguments: str) -> str:
    """Run the environment's Python in `work`; return what it printed."""
    done = subprocess.run(
        [python, *arguments], cwd=work, env=environment(), text=True, check=True,
        stdout=subprocess.PIPE,
    )  # fmt: skip
    return done.stdout


def environment() -> dict[str, str]:
    """Return this process's environment without PYTHON variables, and offline."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return {**own, "HF_HUB_OFFLINE": "1", "NO_PROXY": "127.0.0.1"}


@contextmanager
def timed(step: str) -> Iterator[None]:
    """Print the duration of a step."""
    start = time.monotonic()
    yield
    print(f"{step}: {time.monotonic() - start:.1f} s", flush=True)


if __name__ == "__main__":
    main()
