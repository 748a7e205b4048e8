"""Cache of converted models in the user's cache folder.

It is never beside a bundle: a published folder could then bring a graph that was not made from its
weights. A file is named by a hash of all that it depends on, readable by its owner only, and begins
with the SHA-256 of the rest; a damaged file counts as missing.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from ich_cli.core.errors import OutputError
from ich_cli.core.system import replacing

_MAX_FILES: Final = 16  # files; the least recently used one is removed first
_ENDING: Final = ".openvino"


def cache_folder() -> Path:
    """Return ``ICH_CACHE``, or ``ich`` in the folder that the system has for caches."""
    if own := os.environ.get("ICH_CACHE"):
        return Path(own).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "ich"


def path_of(facts: Mapping[str, Any]) -> Path:
    """Return the path of the cached model that depends on `facts`; it may not exist."""
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    return cache_folder() / "engines" / f"{key}{_ENDING}"


def fetch(path: Path) -> tuple[bytes, bytes] | None:
    """Return a model's graph and weights; None if missing, damaged or writable by others."""
    try:
        with path.open("rb") as file:
            if not _is_own(os.fstat(file.fileno())):
                return None
            digest, sizes, content = file.readline(), file.readline(), file.read()
        graph, weights = map(int, sizes.split())
    except (OSError, ValueError):
        return None
    if digest.strip() != _digest(sizes, content) or graph + weights != len(content):
        return None
    with suppress(OSError):
        os.utime(path)
    return content[:graph], content[graph:]


def keep(path: Path, graph: bytes, weights: bytes) -> None:
    """Store a model; errors are ignored, since the next run can convert it again."""
    sizes, content = b"%d %d\n" % (len(graph), len(weights)), graph + weights
    with suppress(OutputError, OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with replacing(path) as file:
            if hasattr(os, "fchmod"):
                os.fchmod(file.fileno(), 0o600)
            file.write(_digest(sizes, content) + b"\n" + sizes + content)
        _remove_oldest(path.parent)


def _digest(sizes: bytes, content: bytes) -> bytes:
    return hashlib.sha256(sizes + content).hexdigest().encode()


def _is_own(about: os.stat_result) -> bool:
    """Return whether only this user could have written a file."""
    if not hasattr(os, "getuid"):
        return True  # Windows: other users cannot write to the user's folder
    others = stat.S_IWGRP | stat.S_IWOTH
    return stat.S_ISREG(about.st_mode) and about.st_uid == os.getuid() and not (
        about.st_mode & others
    )  # fmt: skip


def _remove_oldest(folder: Path) -> None:
    found = sorted(folder.glob(f"*{_ENDING}"), key=lambda one: one.stat().st_mtime)
    for old in found[:-_MAX_FILES]:
        old.unlink(missing_ok=True)
