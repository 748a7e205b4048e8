"""Valid inputs for the fuzzer: small files of every kind that `ich` reads."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom.data

from ich_cli.core.labels import LABELS, SUBTYPES
from tests.support.codecs import LOSSLESS
from tests.support.dicom import (
    BIG,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    ct,
    encoded,
    enhanced,
    tissue,
)

_LARGEST = 40_000
OWN = 17
"""Number of our own slices at the start of `dicom`, one a transfer syntax and frame count."""
_JPEG = ("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.51")


def dicom() -> list[bytes]:
    """Return slices in every transfer syntax, multi-frame files, and pydicom's small test files."""
    files = [encoded(ct(), syntax) for syntax in (EXPLICIT, IMPLICIT, BIG, DEFLATED)]
    files += [encoded(ct(), syntax, [encode(tissue())]) for syntax, encode in LOSSLESS.items()]
    low = imagecodecs.jpeg8_encode((tissue() // 16).astype(np.uint8), level=95)
    high = imagecodecs.jpeg8_encode(tissue().astype(np.uint16), level=95, bitspersample=12)
    files.append(encoded(ct(bits=8, RescaleSlope="2"), _JPEG[0], [low]))
    files.append(encoded(ct(bits=12), _JPEG[1], [high]))
    three, places = np.stack([tissue()] * 3), [(0, 0, z) for z in range(3)]
    for syntax, encode in (("", None), *LOSSLESS.items()):
        frames = None if encode is None else [encode(tissue())] * 3
        files.append(encoded(enhanced(three, places), syntax or EXPLICIT, frames))
    folder = Path(pydicom.data.__file__).parent / "test_files"
    odd = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return files + [path.read_bytes() for path in odd if path.stat().st_size <= _LARGEST]


METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)


def zips(slices: list[bytes]) -> list[bytes]:
    """Return zips of slices, one for each compression method."""
    return [zipped(slices[:3], method) for method in METHODS]


def zipped(slices: list[bytes], method: int) -> bytes:
    """Return a zip of slices and a text file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for at, data in enumerate(slices):
            archive.writestr(f"study/{at}.dcm", data)
        archive.writestr("readme.txt", "no DICOM")
    return buffer.getvalue()


def tables() -> list[bytes]:
    """Return label tables in the three layouts."""
    six = ",".join(LABELS)
    wide = f"path,{six}\n" + "".join(f"{n}.dcm,1,0,1,0,0,0\n" for n in range(3))
    long = "ID,Label\n" + "".join(f"ID_a_{name},1\n" for name in LABELS)
    listed = "id,subtype,label\n" + "".join(f"a,{name},0.5\n" for name in SUBTYPES)
    return [text.encode() for text in (wide, long, listed)]


def safetensors() -> list[bytes]:
    """Return small valid weights."""
    header = {
        "a.weight": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "a.bias": {"dtype": "F16", "shape": [2], "data_offsets": [24, 28]},
        "n": {"dtype": "I64", "shape": [], "data_offsets": [28, 36]},
        "__metadata__": {"format": "pt"},
    }
    head = json.dumps(header).encode()
    return [len(head).to_bytes(8, "little") + head + bytes(36)]
