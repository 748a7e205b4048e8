"""What is installed: versions, and the decoders of each transfer syntax."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Final

from ich_cli._version import __version__
from ich_cli.core.dicom.transfer_syntax import COMPRESSED, Family

_PACKAGES: Final = (
    "torch timm torchvision numpy opencv-python-headless pydicom imagecodecs grad-cam "
    "safetensors huggingface-hub gradio"
)
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


def versions() -> dict[str, str]:
    """Return name → version of `ich`, Python and the packages that answers depend on."""
    found = {"ich": __version__, "python": platform.python_version()}
    for package in _PACKAGES.split():
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def decoders() -> dict[str, dict[str, str]]:
    """Return TransferSyntaxUID → its name and what decodes it (PS3.6 table A-1).

    ``decoder`` is ``built in``, ``imagecodecs``, or empty where that was built without it.
    """
    import imagecodecs

    found = {uid: {"name": name, "decoder": "built in"} for uid, name in _NATIVE.items()}
    for uid, syntax in COMPRESSED.items():
        codec = getattr(imagecodecs, _CODECS[syntax.family], None)
        present = bool(getattr(codec, "available", False))
        found[uid] = {"name": syntax.name, "decoder": "imagecodecs" if present else ""}
    return found
