"""HU against DCMTK (OFFIS), which shares no line with pydicom, GDCM or imagecodecs.

``dcm2pnm`` writes 16-bit greys. Under a window of 65536 around 0 the linear function of PS3.3
C.11.2.1.2.1, (x - (c - 0.5)) / (w - 1) + 0.5 of 65535, is x + 32768: HU that are whole numbers come
out as they are. Equal means equal; our own rule on top (under -1024 HU is air) is applied first.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ich_cli.core.series import load, read_slices, scan
from tests.support.codecs import LOSSLESS
from tests.support.dicom import BIG, DEFLATED, EXPLICIT, IMPLICIT, ct, save
from tests.support.scans import all_slices, only_slice

pytestmark = pytest.mark.skipif(
    shutil.which("dcm2pnm") is None, reason="DCMTK is not installed: apt-get install dcmtk"
)

PROGRAMS = {
    "1.2.840.10008.1.2.4.57": "dcmj2pnm",
    "1.2.840.10008.1.2.4.70": "dcmj2pnm",
    "1.2.840.10008.1.2.4.80": "dcml2pnm",
    "1.2.840.10008.1.2.5": "dcm2pnm",
}
"""What reads a compressed syntax; DCMTK reads no JPEG 2000."""


def theirs(path: Path, out: Path, program: str = "dcm2pnm") -> NDArray[np.float32]:
    """HU as DCMTK has them, ``(H, W)``."""
    command = [program, "+opw", "+Ww", "0", "65536", str(path), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [line for line in out.read_text().splitlines() if not line.startswith("#")]
    kind, columns, rows, most, *greys = " ".join(lines).split()
    assert (kind, most) == ("P2", "65535")
    return np.array(greys, np.float32).reshape(int(rows), int(columns)) - 32768


def ours(path: Path) -> NDArray[np.float32]:
    (one,) = read_slices(path)
    return one.hu


def with_our_rule(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.where(hu < -1024, np.float32(-1000), hu)


def head(offset: int, low: int = -1000, high: int = 3000) -> NDArray[np.int64]:
    image = np.random.default_rng(8).integers(low, high, (64, 64))
    image[:24] = -1000
    return image + offset


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG, DEFLATED])
@pytest.mark.parametrize(
    ("offset", "signed", "slope", "intercept"),
    [(1024, False, "1", "-1024"), (0, True, "1", "0"), (1024, True, "2", "-2048")],
)
def test_native(
    offset: int, signed: bool, slope: str, intercept: str, syntax: str, tmp_path: Path
) -> None:
    image = ct(head(offset), signed=signed, RescaleSlope=slope, RescaleIntercept=intercept)
    path = save(tmp_path / "a.dcm", image, syntax)
    hu = theirs(path, tmp_path / "a.pgm")
    assert len(np.unique(hu)) > 1000
    np.testing.assert_array_equal(ours(path), with_our_rule(hu))


@pytest.mark.parametrize("high_bit", [11, 13, 15])
def test_high_bit_with_rubbish_around(high_bit: int, tmp_path: Path) -> None:
    """PS3.5 section 8.1.1. Here GDCM leaves the standard, and DCMTK is the one to ask."""
    stored = head(1024) & 0xFFF
    rubbish = 0xFFFF ^ (0xFFF << (high_bit - 11)) & 0xFFFF
    words = stored << (high_bit - 11) | rubbish
    path = save(tmp_path / "a.dcm", ct(words, bits=12, HighBit=high_bit, BitsAllocated=16))
    hu = theirs(path, tmp_path / "a.pgm")
    np.testing.assert_array_equal(hu, stored - 1024.0)
    np.testing.assert_array_equal(ours(path), with_our_rule(hu))


def test_a_float_slope_to_the_nearest_grey(tmp_path: Path) -> None:
    """DCMTK cuts to whole numbers here, so the two agree to within one."""
    image = ct(head(1024), RescaleSlope="0.98765", RescaleIntercept="-1024.25")
    path = save(tmp_path / "a.dcm", image)
    assert np.abs(theirs(path, tmp_path / "a.pgm") - ours(path)).max() < 1


@pytest.mark.parametrize("syntax", [uid for uid in LOSSLESS if uid in PROGRAMS])
def test_compressed(syntax: str, tmp_path: Path) -> None:
    path = save(tmp_path / "a.dcm", ct(head(1024)), syntax, [LOSSLESS[syntax](head(1024))])
    hu = theirs(path, tmp_path / "a.pgm", PROGRAMS[syntax])
    np.testing.assert_array_equal(ours(path), with_our_rule(hu))


def test_monochrome1_is_for_the_display(tmp_path: Path) -> None:
    """DCMTK turns the greys around, 65535 - (x + 32768), as a display does: x was the same."""
    path = save(tmp_path / "a.dcm", ct(head(1024), PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(ours(path), -1 - theirs(path, tmp_path / "a.pgm"))


def test_a_real_head(shared_data: Path, tmp_path: Path) -> None:
    refs = all_slices(scan([shared_data / "dicom" / "ge-head"]))
    assert len(refs) == 28
    for ref in refs:
        hu = theirs(ref.source.path, tmp_path / "a.pgm")
        np.testing.assert_array_equal(load(ref).hu, with_our_rule(hu), ref.id.path)


def test_a_real_slice_in_the_syntaxes_it_reads(shared_data: Path, tmp_path: Path) -> None:
    read = 0
    for path in sorted((shared_data / "dicom" / "transfer-syntaxes").glob("*.dcm")):
        ref = only_slice(path)
        if "lossy compression" in ref.notes:
            continue
        syntax = path.stem.rpartition("_")[2]
        if syntax.startswith("1.2.840.10008.1.2.4") and syntax not in PROGRAMS:
            continue  # JPEG 2000
        hu = theirs(path, tmp_path / "a.pgm", PROGRAMS.get(syntax, "dcm2pnm"))
        np.testing.assert_array_equal(load(ref).hu, with_our_rule(hu), path.name)
        read += 1
    assert read == 9  # all lossless ones but JPEG 2000
