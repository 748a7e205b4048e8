"""The odd files that ship with pydicom, and random damage: a slice or a typed error, fast."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from pydicom import dcmread
from pydicom.pixels.processing import apply_rescale

from ich_cli.core.dicom import CTSlice
from ich_cli.core.errors import InputError
from ich_cli.core.series import load, scan
from tests.support.scans import all_slices, errors

FOLDER = Path(pydicom.data.__file__).parent / "test_files"


def outcome(path: Path) -> list[CTSlice | InputError]:
    found = scan([path])
    results: list[CTSlice | InputError] = [*errors(found)]
    for ref in all_slices(found):
        try:
            results.append(load(ref))
        except InputError as error:
            results.append(error)
    return results


def test_every_file_ends_in_a_slice_or_an_error() -> None:
    files = [path for path in sorted(FOLDER.rglob("*")) if path.is_file()]
    results = {path.name: outcome(path) for path in files if path.name != "DICOMDIR"}
    assert len(results) > 80
    assert all(results.values())


@pytest.mark.parametrize(
    ("name", "lowest", "highest"),
    [("CT_small.dcm", -896, 1167), ("J2K_pixelrep_mismatch.dcm", -1024, 1896)],
)
def test_ct_of_other_makers(name: str, lowest: int, highest: int) -> None:
    (one,) = outcome(FOLDER / name)
    assert isinstance(one, CTSlice)
    assert (one.hu.min(), one.hu.max()) == (lowest, highest)


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("MR_truncated.dcm", "skipped", "Modality is MR"),
        ("reportsi.dcm", "skipped", "Modality is SR"),
        ("SC_rgb_rle.dcm", "skipped", "Modality is OT"),
        ("ExplVR_BigEndNoMeta.dcm", "skipped", "Modality is RTPLAN"),
        ("badVR.dcm", "skipped", "Modality is RTDOSE"),
        ("meta_missing_tsyntax.dcm", "failed", "no Modality and no SOPClassUID"),
        ("zipMR.gz", "failed", "gzip"),
    ],
)
def test_what_is_not_ct(name: str, status: str, words: str) -> None:
    (one,) = outcome(FOLDER / name)
    assert isinstance(one, InputError)
    assert one.status == status
    assert words in one.note


@pytest.mark.parametrize("name", ["CT_small.dcm", "liver_1frame.dcm", "nested_priv_SQ.dcm"])
def test_random_damage(tmp_path: Path, name: str) -> None:
    rng = random.Random(7)
    sound = (FOLDER / name).read_bytes()
    for turn in range(150):
        data = bytearray(sound[: rng.randrange(132, len(sound))] if turn % 3 == 0 else sound)
        for _ in range(rng.choice((1, 5, 20))):
            data[rng.randrange(132, len(data)) if len(data) > 132 else 0] = rng.choice((0, 255, 70))
        (tmp_path / "x.dcm").write_bytes(data)
        assert outcome(tmp_path / "x.dcm")


def test_ct_slices_have_the_hu_of_pydicom() -> None:
    names = ("CT_small.dcm", "J2K_pixelrep_mismatch.dcm", "693_J2KI.dcm")
    files = [FOLDER / name for name in names]
    files += sorted(FOLDER.glob("dicomdirtests/77654033/CT2/*"))
    files += sorted(FOLDER.glob("dicomdirtests/98892001/CT5N/*"))
    assert len(files) == 12
    for path in files:
        (one,) = outcome(path)
        assert isinstance(one, CTSlice)
        assert one.status == "ok"
        ds = dcmread(path)
        hu = np.asarray(apply_rescale(ds.pixel_array, ds), np.float32)
        np.testing.assert_array_equal(one.hu, np.where(hu < -1024, -1000, hu), path.name)
