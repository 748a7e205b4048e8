"""Transfer syntaxes and the families of codecs that they need (PS3.5 annex A, PS3.6 annex A)."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG: Final = "1.2.840.10008.1.2.2"
NATIVE: Final = {
    IMPLICIT_LITTLE: "Implicit VR Little Endian",
    EXPLICIT_LITTLE: "Explicit VR Little Endian",
    DEFLATED: "Deflated Explicit VR Little Endian",
    EXPLICIT_BIG: "Explicit VR Big Endian",
}
"""UID → name of the transfer syntaxes with uncompressed pixels."""

Family = Literal["jpeg", "jpegls", "jpeg2k", "htj2k", "rle"]


class Syntax(NamedTuple):
    """A compressed transfer syntax (PS3.6 table A-1)."""

    name: str
    family: Family
    lossy: bool = False


COMPRESSED: Final[dict[str, Syntax]] = {
    "1.2.840.10008.1.2.4.50": Syntax("JPEG Baseline, 8 bits", "jpeg", lossy=True),
    "1.2.840.10008.1.2.4.51": Syntax("JPEG Extended, 12 bits", "jpeg", lossy=True),
    "1.2.840.10008.1.2.4.57": Syntax("JPEG Lossless", "jpeg"),
    "1.2.840.10008.1.2.4.70": Syntax("JPEG Lossless SV1", "jpeg"),
    "1.2.840.10008.1.2.4.80": Syntax("JPEG-LS Lossless", "jpegls"),
    "1.2.840.10008.1.2.4.81": Syntax("JPEG-LS Near-Lossless", "jpegls", lossy=True),
    "1.2.840.10008.1.2.4.90": Syntax("JPEG 2000 Lossless", "jpeg2k"),
    "1.2.840.10008.1.2.4.91": Syntax("JPEG 2000", "jpeg2k", lossy=True),
    "1.2.840.10008.1.2.4.201": Syntax("HTJ2K Lossless", "htj2k"),
    "1.2.840.10008.1.2.4.202": Syntax("HTJ2K Lossless RPCL", "htj2k"),
    "1.2.840.10008.1.2.4.203": Syntax("HTJ2K", "htj2k", lossy=True),
    "1.2.840.10008.1.2.5": Syntax("RLE Lossless", "rle"),
}
"""UIDs of the supported transfer syntaxes with compressed pixels."""

_IMAGECODECS: Final[dict[Family, str]] = {
    "jpeg": "JPEG8",
    "jpegls": "JPEGLS",
    "jpeg2k": "JPEG2K",
    "htj2k": "HTJ2K",
    "rle": "DICOMRLE",
}


def decoders() -> dict[str, dict[str, str]]:
    """Return name and decoder of each TransferSyntaxUID.

    ``decoder`` is ``built in``, ``imagecodecs``, or empty if imagecodecs lacks the codec.
    """
    import imagecodecs

    found = {uid: {"name": name, "decoder": "built in"} for uid, name in NATIVE.items()}
    for uid, syntax in COMPRESSED.items():
        codec = getattr(imagecodecs, _IMAGECODECS[syntax.family], None)
        available = bool(getattr(codec, "available", False))
        found[uid] = {"name": syntax.name, "decoder": "imagecodecs" if available else ""}
    return found
