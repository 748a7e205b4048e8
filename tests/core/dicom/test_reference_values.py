"""HU against an independent reader: SimpleITK, which reads DICOM by GDCM.

What is compared is the whole way from a file to HU. Equal means equal, for all that is lossless.
Our own two rules on top (under -1024 HU and padding become air) are applied to the reader's values
first; where the reader leaves the standard, the test says so.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from ich_cli.core.series import load, read_slices, scan
from tests.support.codecs import LOSSLESS
from tests.support.dicom import BIG, DEFLATED, EXPLICIT, IMPLICIT, ct, enhanced, save
from tests.support.scans import all_slices, slices_of_files

sitk = pytest.importorskip("SimpleITK", reason="the independent reader: pip install '.[dev]'")
pytestmark = pytest.mark.filterwarnings("ignore:builtin type .*:DeprecationWarning")


def theirs(path: Path) -> NDArray[np.float32]:
    """HU as SimpleITK has them, ``(frames, H, W)``."""
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    return image.reshape(-1, *image.shape[-2:]).astype(np.float32)


def with_our_rules(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(hu < -1024, np.float32(-1000), hu)


def ours(path: Path) -> NDArray[np.float32]:
    return np.stack([one.hu for one in read_slices(path)])


def head(offset: int, step: int = 1, low: int = -1000, high: int = 3000) -> NDArray[np.int64]:
    """Every kind of value: air, tissue, bone and metal, rising along columns, 64 x 64."""
    rng = np.random.default_rng(3)
    image = np.sort(rng.integers(low, high, 64 * 64)).reshape(64, 64) // step
    image[:24] = -1000 // step
    return image + offset


SLICES: dict[str, Callable[[], Dataset]] = {
    "unsigned": lambda: ct(head(1024)),
    "signed": lambda: ct(head(0), signed=True, RescaleIntercept="0"),
    "signed, intercept": lambda: ct(head(1024), signed=True),
    "12 in 16 bits": lambda: ct(head(1024), bits=12),
    "12 in 16 bits, signed": lambda: ct(
        head(0, high=2000), bits=12, signed=True, RescaleIntercept="0"
    ),
    "13 in 16 bits": lambda: ct(head(1024), bits=13),
    "slope 2": lambda: ct(head(512, step=2), RescaleSlope="2"),
    "slope 0.5": lambda: ct(head(1000) * 2, RescaleSlope="0.5", RescaleIntercept="-1000"),
    "float slope and intercept": lambda: ct(
        head(1024), RescaleSlope="0.98765", RescaleIntercept="-1024.25"
    ),
    "slope in scientific notation": lambda: ct(
        head(512, step=2), RescaleSlope="2.0E+00", RescaleIntercept="-1.024E3"
    ),
}


@pytest.mark.parametrize("name", SLICES)
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, DEFLATED])
def test_native(tmp_path: Path, name: str, syntax: str) -> None:
    path = save(tmp_path / "a.dcm", SLICES[name](), syntax)
    np.testing.assert_array_equal(ours(path), with_our_rules(theirs(path)))


@pytest.mark.parametrize("syntax", [uid for uid in LOSSLESS if not uid.endswith(".201")])
def test_compressed(tmp_path: Path, syntax: str) -> None:
    """GDCM 3.2 reads no HTJ2K."""
    path = save(tmp_path / "a.dcm", ct(head(1024)), syntax, [LOSSLESS[syntax](head(1024))])
    np.testing.assert_array_equal(ours(path), with_our_rules(theirs(path)))


@pytest.mark.parametrize("high_bit", [11, 13, 15])
def test_high_bit(tmp_path: Path, high_bit: int) -> None:
    """Stored values end at HighBit (PS3.5 section 8.1.1), with other things in the bits around."""
    stored = head(1024) & 0xFFF
    rubbish = np.full_like(stored, 0xFFFF ^ (0xFFF << (high_bit - 11)) & 0xFFFF)
    words = stored << (high_bit - 11) | rubbish
    path = save(tmp_path / "a.dcm", ct(words, bits=12, HighBit=high_bit, BitsAllocated=16))
    np.testing.assert_array_equal(ours(path)[0], stored - 1024.0)
    if high_bit == 11:  # GDCM 3.2 does not move the others down
        np.testing.assert_array_equal(ours(path), with_our_rules(theirs(path)))


def test_monochrome1_is_for_the_display(tmp_path: Path) -> None:
    """PS3.3 C.7.6.3.1.2: the lowest value is shown white; the value stays what it is.

    SimpleITK turns the stored values around (65535 - stored) before it rescales them.
    """
    path = save(tmp_path / "a.dcm", ct(head(1024), PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(theirs(path)[0], 65535 - head(1024) - 1024.0)
    np.testing.assert_array_equal(ours(path)[0], head(1024) - 1024.0)


def test_padding_is_air(tmp_path: Path) -> None:
    """PS3.3 C.7.5.1.1.2: padded pixels are no part of the image; SimpleITK leaves them."""
    stored = head(1024)
    stored[:8] = 63536
    path = save(tmp_path / "a.dcm", ct(stored, PixelPaddingValue=63536))
    expected = theirs(path)
    assert set(np.unique(expected[:, :8])) == {62512}
    expected[:, :8] = -1000
    np.testing.assert_array_equal(ours(path), with_our_rules(expected))


def test_what_the_scanner_marks_as_outside(tmp_path: Path) -> None:
    stored = head(0)
    stored[:8] = -2000
    path = save(tmp_path / "a.dcm", ct(stored, signed=True, RescaleIntercept="0"))
    assert theirs(path).min() == -2000
    np.testing.assert_array_equal(ours(path), with_our_rules(theirs(path)))


def test_enhanced_with_a_shared_rescale(tmp_path: Path) -> None:
    stored = np.stack([head(1024), head(1024)[::-1]])
    path = save(tmp_path / "a.dcm", enhanced(stored, [(0, 0, 0), (0, 0, 5)]))
    np.testing.assert_array_equal(ours(path), with_our_rules(theirs(path)))


def test_enhanced_with_a_rescale_for_each_frame(tmp_path: Path) -> None:
    """PS3.3 C.7.6.16.2.9: each frame has its own; SimpleITK takes the first one's for all."""
    stored = np.stack([head(1024), head(1024)])
    rescales = [("1", "-1024"), ("0.5", "-1000")]
    path = save(tmp_path / "a.dcm", enhanced(stored, [(0, 0, 0), (0, 0, 5)], rescales))
    hu, other = ours(path), theirs(path)
    np.testing.assert_array_equal(hu[0], with_our_rules(other[0]))
    np.testing.assert_array_equal(other[0], other[1])
    np.testing.assert_array_equal(hu[1], (head(1024) * 0.5 - 1000).astype(np.float32))


def test_wrapped_offsets_of_rsna(tmp_path: Path) -> None:
    """HU modulo 4096 (no standard allows it): SimpleITK shows air at 3096, we put it back."""
    truth = head(0, high=2000)
    path = save(tmp_path / "a.dcm", ct(truth % 4096, bits=12, RescaleIntercept="0"))
    assert theirs(path)[0, 0, 0] == 3096
    np.testing.assert_array_equal(ours(path)[0], truth.astype(np.float32))
    (one,) = read_slices(path)
    assert one.status == "repaired"


def test_a_real_head(shared_data: Path) -> None:
    refs = all_slices(scan([shared_data / "dicom" / "ge-head"]))
    assert len(refs) == 28
    for ref in refs:
        hu = theirs(ref.source.path)[0]
        np.testing.assert_array_equal(load(ref).hu, with_our_rules(hu), ref.id.path)


def test_a_real_slice_in_lossless_syntaxes(shared_data: Path) -> None:
    refs = [
        ref
        for ref in slices_of_files(shared_data / "dicom" / "transfer-syntaxes")
        if "lossy compression" not in ref.notes
    ]
    assert len(refs) == 10
    for ref in refs:
        hu = theirs(ref.source.path)[0]
        np.testing.assert_array_equal(load(ref).hu, with_our_rules(hu), ref.id.path)
