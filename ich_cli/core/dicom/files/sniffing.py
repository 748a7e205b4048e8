"""Recognise a file by its first bytes."""

from __future__ import annotations

import struct
from typing import Final, Literal

from ich_cli.core.dicom.transfer_syntax import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE

Kind = Literal["dicom", "bare", "zip", "gzip", "empty", "other"]

_VRS: Final = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN "
    b"UR US UT UV".split()
)  # PS3.5 table 6.2-1; pydicom's enumeration would have to be imported for every file sniffed

_ARCHIVES: Final = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a rar archive",
    b"\xfd7zXZ\0": "an xz file",
    b"BZh": "a bzip2 file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
}


def packed_kind(head: bytes) -> str:
    """Return the name of a kind of archive that is not opened, "" for other files."""
    return next((kind for magic, kind in _ARCHIVES.items() if head.startswith(magic)), "")


def sniff(head: bytes) -> Kind:
    """Return the type of a file from its first 132 bytes (PS3.10 section 7.1).

    ``bare`` is a DICOM data set without preamble.
    """
    if not head:
        return "empty"
    if head[128:132] == b"DICM":
        return "dicom"
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    if head[:2] == b"\x1f\x8b":
        return "gzip"
    return "bare" if bare_syntax(head) else "other"


def bare_syntax(head: bytes) -> str:
    """Return the transfer syntax of a data set without preamble; "" where it is not one.

    The data set must begin with an early element of group 2 or 8, which hardly any other file
    does: other files, read as DICOM, may claim lengths of gigabytes.
    """
    if len(head) < 16:
        return ""
    group, element = struct.unpack("<HH", head[:4])
    if group in (0x0002, 0x0008) and element < 0x0100:
        if head[4:6] in _VRS:
            return EXPLICIT_LITTLE
        (length,) = struct.unpack("<I", head[4:8])
        return IMPLICIT_LITTLE if group == 8 and length < 0x400 else ""
    group, element = struct.unpack(">HH", head[:4])
    return EXPLICIT_BIG if group == 8 and element < 0x100 and head[4:6] in _VRS else ""
