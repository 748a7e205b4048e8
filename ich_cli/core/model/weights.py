"""Weight files: safetensors only, with torchvision's key names mapped to timm's."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ich_cli.core.errors import BundleError

PICKLE_SUFFIXES: Final = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy")
MAX_WEIGHTS_BYTES: Final = 8 * 2**30
"""Upper bound of a weight file in bytes, ten times the largest useful backbone."""

_MAX_HEADER_BYTES: Final = 100_000_000  # limit of the format


def write_weights(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors as safetensors.

    Raises
    ------
    OSError
        If they cannot be written; the error number is parsed from safetensors' message.
    """
    try:
        save_file(dict(tensors), path, metadata={"format": "pt"})
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        if number is None:
            raise
        code = int(number[1])
        raise OSError(code, os.strerror(code), str(path)) from error


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file; pickles are refused, since they can run code.

    Raises
    ------
    BundleError
        If the file is missing, too large, a pickle, or not valid safetensors.
    """
    check_safetensors(path)
    with _as_bundle_error(path):
        tensors: dict[str, Tensor] = load_file(path)
    return tensors


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Read the names and shapes of the tensors in a safetensors file.

    Raises
    ------
    BundleError
        As `read_weights`.
    """
    check_safetensors(path)
    with _as_bundle_error(path), safe_open(path, "pt") as file:
        names = list(file.keys())
        return {name: tuple(file.get_slice(name).get_shape()) for name in names}


@contextmanager
def _as_bundle_error(path: Path) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise BundleError(f"{path}: not a valid safetensors file ({reason})") from None


def check_safetensors(path: Path) -> None:
    """Refuse a file that is missing, too large, truncated or a pickle, before parsing it.

    Raises
    ------
    BundleError
        Says which.
    """
    if not path.is_file():
        raise BundleError(f"{path}: no such file")
    if path.suffix.lower() in PICKLE_SUFFIXES:
        raise BundleError(f"{path}: {_pickle_reason(path.suffix)}")
    size = path.stat().st_size
    if size > MAX_WEIGHTS_BYTES:
        raise BundleError(f"{path}: {size} bytes exceed the limit of {MAX_WEIGHTS_BYTES} bytes")
    with path.open("rb") as file:
        head = file.read(8)
    if head[:2] in (b"PK", b"\x1f\x8b") or head[:1] == b"\x80":
        raise BundleError(f"{path}: {_pickle_reason('this file')}")
    length = int.from_bytes(head, "little")
    if len(head) < 8 or length > min(size - 8, _MAX_HEADER_BYTES):
        raise BundleError(
            f"{path}: not a valid safetensors file (its header is longer than the file)"
        )


def _pickle_reason(what: str) -> str:
    return (
        f"refused: {what} is a pickle, which can run code when it is read; ask its author for "
        "safetensors, or convert it if you trust it"
    )


def summarize_names(keys: Sequence[str], limit: int = 3) -> str:
    """Return the first few names and the number of the others."""
    more = f" and {len(keys) - limit} more" if len(keys) > limit else ""
    return ", ".join(keys[:limit]) + more


def torchvision_to_timm(found: Mapping[str, Tensor]) -> tuple[str, dict[str, Tensor]]:
    """Rename torchvision's MobileNetV2 keys to timm's; other keys are kept.

    torchvision's ResNets already have timm's names.

    Returns
    -------
    tuple
        ``torchvision`` or ``timm``, and the tensors under timm's names.

    Raises
    ------
    BundleError
        If a key of a torchvision MobileNetV2 has no counterpart.
    """
    if "features.0.0.weight" not in found or "features.18.0.weight" not in found:
        return "timm", dict(found)
    names = _mobilenetv2_names()
    renamed = {}
    for key, value in found.items():
        module, _, leaf = key.rpartition(".")
        if module not in names:
            raise BundleError(f"unexpected key {key}: not one of torchvision's MobileNetV2")
        renamed[f"{names[module]}.{leaf}"] = value
    return "torchvision", renamed


_MOBILENETV2_REPEATS: Final = (1, 2, 3, 4, 3, 3, 1)  # inverted residuals per stage
_SEPARABLE: Final = {"0.0": "conv_dw", "0.1": "bn1", "1": "conv_pw", "2": "bn2"}
_INVERTED: Final = {
    "0.0": "conv_pw", "0.1": "bn1", "1.0": "conv_dw", "1.1": "bn2", "2": "conv_pwl", "3": "bn3",
}  # fmt: skip


def _mobilenetv2_names() -> dict[str, str]:
    """Return a map from modules of torchvision's MobileNetV2 to timm's."""
    names = {
        "features.0.0": "conv_stem",
        "features.0.1": "bn1",
        "features.18.0": "conv_head",
        "features.18.1": "bn2",
        "classifier.1": "classifier",
    }
    block = 1
    for stage, repeats in enumerate(_MOBILENETV2_REPEATS):
        for repeat in range(repeats):
            parts = _SEPARABLE if stage == 0 else _INVERTED  # the first block has no expansion
            for theirs, ours in parts.items():
                names[f"features.{block}.conv.{theirs}"] = f"blocks.{stage}.{repeat}.{ours}"
            block += 1
    return names
