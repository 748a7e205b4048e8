"""Installed decoders of each transfer syntax."""

from __future__ import annotations

from typing import Final

from ich_cli.core.dicom.transfer_syntax import COMPRESSED, Family

_CODECS: Final[dict[Family, str]] = {
    "jpeg": "JPEG8",
    "jpegls": "JPEGLS",
    "jpeg2k": "JPEG2K",
    "htj2k": "HTJ2K",
    "rle": "DICOMRLE",
}
_NATIVE: Final = {
    "1.2.840.10008.1.2": "Implicit VR Little Endian",
    "1.2.840.10008.1.2.1": "Explicit VR Little Endian",
    "1.2.840.10008.1.2.1.99": "Deflated Explicit VR Little Endian",
    "1.2.840.10008.1.2.2": "Explicit VR Big Endian",
}


def decoders() -> dict[str, dict[str, str]]:
    """Return name and decoder of each TransferSyntaxUID (DICOM PS3.6, table A-1).

    ``decoder`` is ``built in``, ``imagecodecs``, or empty if imagecodecs lacks the codec.
    """
    import imagecodecs

    found = {uid: {"name": name, "decoder": "built in"} for uid, name in _NATIVE.items()}
    for uid, syntax in COMPRESSED.items():
        codec = getattr(imagecodecs, _CODECS[syntax.family], None)
        present = bool(getattr(codec, "available", False))
        found[uid] = {"name": syntax.name, "decoder": "imagecodecs" if present else ""}
    return found
