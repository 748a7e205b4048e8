"""What a run was made with, so that it can be made again."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

_NAMES = ("torch", "torchvision", "timm", "numpy", "opencv-python-headless", "accelerate")


def versions() -> dict[str, str]:
    """Return the versions of what decides the numbers."""
    return {"python": platform.python_version(), **{name: version(name) for name in _NAMES}}


def git_state() -> str:
    """Return the commit of the checkout that runs, ``-dirty`` behind it where files differ.

    Empty for an installed package, and where there is no git.
    """
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():  # else git would find the repository of somebody else above
        return ""
    command = [
        "git",
        "-C",
        str(root),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=40",
        "--exclude=*",
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
