"""Atomic writes of CSV and JSON files."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from ich_cli.core.system.atomic import replacing


def write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Write a CSV atomically and return its SHA-256 as 64 hex digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    data = text.getvalue().encode()
    with replacing(path) as file:
        file.write(data)
    return hashlib.sha256(data).hexdigest()


def write_json(path: Path, values: object, *, durable: bool = True) -> None:
    """Write indented JSON atomically; see `replacing`."""
    with replacing(path, durable=durable) as file:
        file.write((json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode())
