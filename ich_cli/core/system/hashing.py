"""SHA-256 of files and of texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path


def fingerprint(parts: Iterable[str]) -> str:
    """Return the SHA-256 of a list of texts, order and borders included."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(json.dumps(part).encode() + b"\n")
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """Return the checksum of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sum_of_sums(sums: Sequence[str]) -> str:
    """Return the checksum of an ensemble: that of its members' checksums, one a line."""
    return hashlib.sha256("\n".join(sums).encode()).hexdigest()
