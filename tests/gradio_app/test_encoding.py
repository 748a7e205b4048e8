"""Tests of the encoding of slices and maps."""

from __future__ import annotations

import base64
import itertools
import zlib

import numpy as np
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from gradio_app.encoding import encode_map, encode_slice, palette
from ich_cli.core.dicom import CTSlice, Geometry, SliceId


def unpack(text: str, dtype: str, shape: tuple[int, int]) -> np.ndarray:
    steps = np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype).reshape(shape)
    return np.cumsum(steps, axis=1, dtype=dtype)  # as the page decodes it, with the same overflow


def test_slice_has_shape_aspect_and_orientation() -> None:
    geometry = Geometry(row_direction=(1, 0, 0), column_direction=(0, 1, 0), spacing=(1.0, 0.5))
    hu = np.array([[-1000, 40, 80], [3000, -2000, 40.4]], np.float32)

    encoded = encode_slice(CTSlice(hu, SliceId("00001"), geometry))

    assert (encoded["rows"], encoded["columns"], encoded["aspect"]) == (2, 3, 2.0)
    assert encoded["letters"] == ["R", "L", "A", "P"]
    assert unpack(encoded["hu"], "<i2", (2, 3)).tolist() == [[-1000, 40, 80], [3000, -1024, 40]]


def test_slice_without_orientation_has_no_letters() -> None:
    encoded = encode_slice(CTSlice(np.zeros((2, 2), np.float32), SliceId("00001")))
    assert encoded["letters"] is None
    assert encoded["aspect"] == 1.0


@given(arrays(np.float32, (3, 5), elements=st.integers(-1024, 31743).map(float)))
def test_every_hu_comes_back(hu: np.ndarray) -> None:
    encoded = encode_slice(CTSlice(hu, SliceId("00001")))
    assert unpack(encoded["hu"], "<i2", (3, 5)).tolist() == hu.tolist()


@given(arrays(np.uint8, (4, 3)))
def test_every_map_value_comes_back(values: np.ndarray) -> None:
    assert unpack(encode_map(values), "u1", (4, 3)).tolist() == values.tolist()


def test_palette_is_transparent_at_0_and_opaque_at_1() -> None:
    colours = palette()
    assert len(colours) == 256
    assert colours[0][3] == 0
    assert colours[255][3] == 255
    assert all(a[3] <= b[3] for a, b in itertools.pairwise(colours))
