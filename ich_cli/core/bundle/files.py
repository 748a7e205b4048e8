"""File names of a bundle, and reading its config.json. Imports no torch."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final, NoReturn

from ich_cli.core.bundle.config import BundleConfig
from ich_cli.core.errors import BundleError

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
SEQUENCE: Final = "sequence.safetensors"
CARD: Final = "README.md"

_MAX_CONFIG_BYTES: Final = 4 * 2**20
_NUMBERS: Final = re.compile(r"\[[\s\d.,eE+-]+\]")  # written on one line


def read_config(folder: Path) -> BundleConfig:
    """Read and check a bundle's config.json.

    Raises
    ------
    BundleError
        Names the file, and the key where there is one.
    """
    values = read_config_values(folder)
    try:
        return BundleConfig.from_json(values)
    except BundleError as error:
        raise BundleError(f"{folder / CONFIG}: {error}") from None


def read_config_values(folder: Path) -> Any:
    """Parse a folder's config.json; only its size is checked."""
    if not folder.is_dir():
        raise BundleError(f"{folder}: no such bundle folder")
    path = folder / CONFIG
    if not path.is_file():
        raise BundleError(f"{folder}: no {CONFIG}: not a bundle")
    if path.stat().st_size > _MAX_CONFIG_BYTES:
        raise BundleError(f"{path}: too large for a config")
    try:
        return json.loads(path.read_text("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path}: not JSON ({error})") from None


def config_text(values: Mapping[str, Any]) -> str:
    """Return the text of config.json: indented, with lists of numbers on one line."""
    text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False)
    return _NUMBERS.sub(lambda found: " ".join(found[0].split()), text) + "\n"


def is_subfolder(member: str) -> bool:
    """Return whether an ensemble's member is a relative path inside the ensemble."""
    path = PurePosixPath(member)
    outside = path.is_absolute() or ".." in path.parts or "\\" in member or ":" in member
    return bool(path.parts) and not outside


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
