"""Mutations of input files: random bytes, and changes that know the format."""

from __future__ import annotations

import copy
import json
import struct
from collections.abc import Callable
from random import Random
from typing import Any

from ich_cli.core.dicom.transfer_syntax import COMPRESSED, NATIVE

_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_VRS = b"AE AS CS DA DS DT FD FL IS LO LT OB OW PN SH SL SQ SS ST TM UI UL UN US UT".split()
_NUMBERS = (0, 1, 2, 3, 7, 8, 15, 16, 17, 31, 32, 33, 64, 255, 4096, 4097, 32767, 32768, 65535)
_FALSE_VALUES = {  # Rows, Columns, Bits..., SamplesPerPixel, PixelRepresentation, padding
    (0x28, at): "US" for at in (0x02, 0x06, 0x10, 0x11, 0x100, 0x101, 0x102, 0x103, 0x120, 0x121)
} | {(0x28, 0x08): "IS", (0x28, 0x1052): "DS", (0x28, 0x1053): "DS", (0x20, 0x32): "DS"}
_TEXTS = (b"", b"0", b"-1", b"1e308", b"nan", b"4096", b"4097", b"1\\2", b"9" * 70, b"\xff" * 8)
_JSON = (None, True, -1, 0, 10**400, 1e308, 2**63, "", "x" * 999, "../..", [], {}, [[]], "\0")

Element = tuple[int, int, bytes, bytes, int | None]
"""Group, element, VR, value, and a false length or None."""


def bytes_at_random(data: bytes, rng: Random) -> bytes:
    """Flip, insert, remove, repeat and cut."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        at, span = rng.randrange(len(out) + 1), rng.choice((1, 2, 4, 8, 64))
        kind = rng.randrange(6)
        if kind == 0:
            out[at : at + 1] = bytes([rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))])
        elif kind == 1:
            out[at : at + span] = rng.randbytes(span)
        elif kind == 2:
            del out[at : at + span]
        elif kind == 3:
            out[at:at] = out[at : at + span] * rng.choice((1, 2, 50))
        elif kind == 4:
            size = rng.choice((2, 4, 8))
            big = rng.choice((0xFFFFFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFE, 2**63))
            out[at : at + size] = big.to_bytes(8, "little")[:size]
        else:
            del out[at if at > 200 else rng.randrange(len(out) + 1) :]
        if not out:
            break
    return bytes(out)


def elements_of(data: bytes) -> list[Element] | None:
    """Split a file in Explicit VR Little Endian into elements; None for any other file."""
    if data[128:132] != b"DICM":
        return None
    at, found = 132, []
    while at + 8 <= len(data):
        group, number, vr = struct.unpack_from("<HH2s", data, at)
        if not vr.isalpha():
            return None
        long = vr in _LONG
        length = struct.unpack_from("<I" if long else "<H", data, at + (8 if long else 6))[0]
        start = at + (12 if long else 8)
        lie = length if length == 0xFFFFFFFF else None
        value = data[start:] if lie else data[start : start + length]
        found.append((group, number, vr, value, lie))
        at = start + len(value)
    return found


def joined(elements: list[Element]) -> bytes:
    """Join elements to a file, with their false lengths."""
    out = [bytes(128), b"DICM"]
    for group, number, vr, value, lie in elements:
        length = len(value) if lie is None else lie
        out.append(struct.pack("<HH", group, number) + vr)
        out.append(
            struct.pack("<HI", 0, length & 0xFFFFFFFF)
            if vr in _LONG
            else struct.pack("<H", length & 0xFFFF)
        )
        out.append(value)
    return b"".join(out)


def dicom(data: bytes, rng: Random, others: list[bytes]) -> bytes:
    """Change elements of a DICOM file."""
    elements = elements_of(data)
    if elements is None or rng.random() < 0.25:
        return bytes_at_random(data, rng)
    for _ in range(rng.choice((1, 1, 2, 3))):
        rng.choice(_DICOM)(elements, rng, others)
    changed = joined(elements)
    return bytes_at_random(changed, rng) if rng.random() < 0.15 else changed


def _drop(elements: list[Element], rng: Random, others: list[bytes]) -> None:
    if elements:
        del elements[rng.randrange(len(elements))]


def _double(elements: list[Element], rng: Random, others: list[bytes]) -> None:
    if elements:
        elements.insert(rng.randrange(len(elements)), rng.choice(elements))


def _vr(elements: list[Element], rng: Random, others: list[bytes]) -> None:
    _change(elements, rng, lambda e: (*e[:2], rng.choice(_VRS), *e[3:]))


def _length(elements: list[Element], rng: Random, others: list[bytes]) -> None:
    lengths = (0, 1, 3, 0xFFFE, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)
    _change(elements, rng, lambda e: (*e[:4], rng.choice((*lengths, len(e[3]) + 2))))


def _value(elements: list[Element], rng: Random, others: list[bytes]) -> None:
    _change(elements, rng, lambda e: (*e[:3], bytes_at_random(e[3], rng) if e[3] else b"", e[4]))


def _false_value(elements: list[Element], rng: Random, others: list[bytes]) -> None:
    """Insert false values of Rows, Columns, bits, frames, samples or rescale."""
    tag = rng.choice(list(_FALSE_VALUES))
    vr = _FALSE_VALUES[tag]
    text = str(rng.choice(_NUMBERS)).encode() if rng.random() < 0.5 else rng.choice(_TEXTS)
    value = struct.pack("<H", rng.choice(_NUMBERS)) if vr == "US" else text
    at = next((i for i, e in enumerate(elements) if e[:2] >= tag), len(elements))
    if at < len(elements) and elements[at][:2] == tag:
        del elements[at]
    elements.insert(at, (*tag, vr.encode(), value, None))


def _syntax(elements: list[Element], rng: Random, others: list[bytes]) -> None:
    """Replace the transfer syntax and keep the data."""
    uid = rng.choice([*NATIVE, *COMPRESSED, "1.2.840.10008.1.2.4.100", "", "1.2"]).encode()
    for at, one in enumerate(elements):
        if one[:2] == (2, 0x10):
            elements[at] = (*one[:3], uid + b"\0" * (len(uid) % 2), None)


def _pixels(elements: list[Element], rng: Random, others: list[bytes]) -> None:
    """Cut the pixel data, change its bytes, or take another file's."""
    other = elements_of(rng.choice(others)) or []
    donor = next((e for e in other if e[:2] == (0x7FE0, 0x10)), None)
    for at, one in enumerate(elements):
        if one[:2] == (0x7FE0, 0x10):
            kind = rng.randrange(3)
            if kind == 0 and donor is not None:
                elements[at] = donor
            elif kind == 1:
                elements[at] = (*one[:3], one[3][: rng.randrange(len(one[3]) + 1)], one[4])
            elif one[3]:
                elements[at] = (*one[:3], bytes_at_random(one[3], rng), one[4])


def _nest(elements: list[Element], rng: Random, others: list[bytes]) -> None:
    """Insert nested sequences, up to 10,000 deep."""
    group, number = rng.choice(((0x5200, 0x9229), (0x5200, 0x9230), (0x0008, 0x1140)))
    open_one = struct.pack("<HH2sHI", group, number, b"SQ", 0, 0xFFFFFFFF)
    open_item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    depth = rng.choice((1, 3, 50, 500, 10_000))
    value = open_item + (open_one + open_item) * depth
    at = next((i for i, e in enumerate(elements) if e[:2] >= (group, number)), len(elements))
    elements.insert(at, (group, number, b"SQ", value, 0xFFFFFFFF))


def _change(elements: list[Element], rng: Random, change: Callable[[Element], Element]) -> None:
    if elements:
        at = rng.randrange(len(elements))
        elements[at] = change(elements[at])


_DICOM = (
    _drop,
    _double,
    _vr,
    _length,
    _value,
    _false_value,
    _false_value,
    _syntax,
    _pixels,
    _pixels,
    _nest,
)


def json_value(values: Any, rng: Random) -> Any:
    """Replace, remove, add or nest somewhere in a parsed JSON."""
    values = copy.deepcopy(values)
    node = values
    while isinstance(node, dict | list) and node:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = rng.choice(keys)
        if not isinstance(node[key], dict | list) or not node[key] or rng.random() < 0.3:
            _change_at(node, key, rng)
            break
        node = node[key]
    return values


def _change_at(node: Any, key: Any, rng: Random) -> None:
    kind = rng.randrange(4)
    if kind == 0:
        del node[key]
    elif kind == 1 and isinstance(node, dict):
        node[rng.choice(("pickle", "__class__", "x", "pretrained_cfg_overlay"))] = node[key]
    elif kind == 2:
        node[key] = [node[key]]
    else:
        node[key] = rng.choice(_JSON)


def json_text(values: Any, rng: Random) -> bytes:
    """Return changed JSON, sometimes invalid JSON."""
    if rng.random() < 0.02:
        return b"[" * rng.choice((10, 10_000, 200_000))
    for _ in range(rng.choice((1, 1, 2, 4))):
        values = json_value(values, rng)
    text = json.dumps(values).encode()
    return bytes_at_random(text, rng) if rng.random() < 0.2 else text


def safetensors(data: bytes, rng: Random) -> bytes:
    """Change the header of safetensors, mostly with a correct length."""
    if rng.random() < 0.3:
        return bytes_at_random(data, rng)
    length = int.from_bytes(data[:8], "little")
    head = json_text(json.loads(data[8 : 8 + length]), rng)
    length_field = len(head) if rng.random() < 0.9 else rng.choice((0, 2**63, 2**31, len(head) + 1))
    return length_field.to_bytes(8, "little") + head + data[8 + length :]
