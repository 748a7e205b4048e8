"""Recognise a file by its first bytes."""

from __future__ import annotations

import struct
from typing import Final, Literal

from ich_cli.core.dicom.transfer_syntax import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE

Kind = Literal["dicom", "bare", "zip", "gzip", "empty", "other"]


VRS: Final = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT OB OD OF OL OV OW PN SH SL SQ SS ST SV TM UC UI UL UN "
    b"UR US UT UV".split()
)
"""All value representations (PS3.5 table 6.2-1)."""


def sniff(head: bytes) -> Kind:
    """Say what a file is by its first 132 bytes, whatever its name ends in (PS3.10 section 7.1)."""
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
    """Return the syntax of a data set without preamble, "" where the bytes are no such thing.

    It must begin with an early element of group 2 or 8, which hardly any other file does: reading
    junk as DICOM can ask for gigabytes.
    """
    if len(head) < 16:
        return ""
    group, element = struct.unpack("<HH", head[:4])
    if group in (0x0002, 0x0008) and element < 0x0100:
        if head[4:6] in VRS:
            return EXPLICIT_LITTLE
        (length,) = struct.unpack("<I", head[4:8])
        return IMPLICIT_LITTLE if group == 8 and length < 0x400 else ""
    group, element = struct.unpack(">HH", head[:4])
    return EXPLICIT_BIG if group == 8 and element < 0x100 and head[4:6] in VRS else ""
