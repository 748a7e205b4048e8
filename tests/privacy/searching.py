"""Search for tokens in bytes, also in compressed and encoded data."""

from __future__ import annotations

import base64
import binascii
import gzip
import io
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import pyarrow.parquet

ENCODINGS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be", "iso2022_jp", "iso8859_5", "cp1251")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{24,}={0,2}")


def found_in(data: bytes, tokens: Iterable[str]) -> set[str]:
    """Return the tokens in the data: plain, escaped, zipped, deflated or in base64."""
    layers = list(_layers(data))
    return {
        token for token in tokens for form in _forms(token) if any(form in one for one in layers)
    }


def files_of(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield each file below a folder under its name, and its name itself."""
    for path in sorted(folder.rglob("*")):
        yield f"the name of {path}", str(path.relative_to(folder)).encode()
        if path.is_file():
            yield str(path), path.read_bytes()


def _forms(token: str) -> set[bytes]:
    forms = {token.encode("unicode-escape"), ascii(token)[1:-1].encode()}
    for encoding in ENCODINGS:
        with suppress(UnicodeEncodeError):
            forms.add(token.encode(encoding))
    return {form for form in forms if len(form) > 4}


def _layers(data: bytes, depth: int = 0) -> Iterator[bytes]:
    yield data
    if depth > 3:
        return
    for inner in (*_zipped(data), *_png(data), *_parquet(data), *_base64(data)):
        yield from _layers(inner, depth + 1)


def _zipped(data: bytes) -> Iterator[bytes]:
    if data[:2] == b"\x1f\x8b":
        with suppress(OSError, EOFError, zlib.error):
            yield gzip.decompress(data)
    if data[:2] == b"PK":
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(data)) as archive:
            yield from (archive.read(name) for name in archive.namelist())


def _png(data: bytes) -> Iterator[bytes]:
    """Yield the texts of a PNG, unpacked (PNG 3rd edition, 11.3.3)."""
    if data[:8] != b"\x89PNG\r\n\x1a\n":
        return
    at = 8
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body = data[at + 8 : at + 8 + size]
        at += size + 12
        if kind in (b"zTXt", b"iTXt"):
            with suppress(zlib.error):
                yield zlib.decompress(body[body.index(b"\0") + 2 :])


def _parquet(data: bytes) -> Iterator[bytes]:
    """Yield the cells and metadata of a Parquet table, whose pages are compressed."""
    if data[:4] == b"PAR1":
        table = pyarrow.parquet.read_table(io.BytesIO(data))
        yield repr((table.schema.metadata, table.to_pylist())).encode("utf-8", "surrogateescape")


def _base64(data: bytes) -> Iterator[bytes]:
    for match in _BASE64.finditer(data):
        text = match[0].rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
        with suppress(binascii.Error):
            yield base64.b64decode(text + b"=" * (-len(text) % 4))
