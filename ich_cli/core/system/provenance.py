"""Software versions and git commit of a run, for reproduction."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

NUMERICAL_PACKAGES: Final = (
    "torch", "torchvision", "timm", "numpy", "opencv-python-headless", "accelerate",
)  # fmt: skip
"""Packages whose versions can change the numbers of a training."""


def versions(packages: Sequence[str] = NUMERICAL_PACKAGES) -> dict[str, str]:
    """Return the versions of Python and of the named packages; ``not installed`` if missing."""
    return {"python": platform.python_version(), **{name: _version(name) for name in packages}}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def git_state() -> str:
    """Return the commit of the running checkout, with ``-dirty`` appended if files differ.

    Empty for an installed package, and if git is not available.
    """
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists():  # else git would find an unrelated repository above
        return ""
    options = ["--always", "--dirty", "--abbrev=40", "--exclude=*"]
    command = ["git", "-C", str(root), "describe", *options]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
