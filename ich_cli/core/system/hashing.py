"""SHA-256 of files and texts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path


def fingerprint(parts: Iterable[str]) -> str:
    """Return the SHA-256 of a sequence of texts, as 64 hex digits."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(json.dumps(part).encode() + b"\n")
    return digest.hexdigest()


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sum_of_sums(sums: Sequence[str]) -> str:
    """Return the checksum of an ensemble: SHA-256 of its members' checksums, one per line."""
    return hashlib.sha256("\n".join(sums).encode()).hexdigest()
