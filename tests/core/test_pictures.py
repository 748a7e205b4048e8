"""PNG and JPEG files as slices: windows, HU, and files that are damaged or hostile."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ich_cli.core.dicom import Limits
from ich_cli.core.errors import InputError, NotApplicableError
from ich_cli.core.pictures import UNKNOWN_WINDOW, PictureWindow
from ich_cli.core.series import Scan, load, read, scan, shows_patient

BRAIN = PictureWindow(40, 80)


def gray() -> NDArray[np.uint8]:
    """Return a white ring around 128 with a black pixel in it, on black: 32 x 40."""
    pixels = np.zeros((32, 40), np.uint8)
    pixels[6:26, 10:30] = 255
    pixels[8:24, 12:28] = 128
    pixels[15, 20] = 0
    return pixels


def save(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.mark.parametrize("name", ["a.png", "a.dcm", "picture without ending"])
def test_hu_are_rebuilt_from_the_window(tmp_path: Path, name: str) -> None:
    path = save(tmp_path / name, gray(), format="png")
    ct = read(path, window=BRAIN)
    assert (ct.shape, ct.hu.dtype) == ((32, 40), np.float32)
    assert ct.hu[10, 14] == pytest.approx(128 / 255 * 80)
    assert ct.hu[0, 0] == -1000  # black outside
    assert ct.hu[15, 20] == 0  # black inside: the lower end
    assert ct.hu[6, 10] == 1000  # white: bone
    assert ct.status == "repaired"
    assert ct.notes[0] == "8-bit picture, HU from window 40/80"
    assert ct.geometry.spacing is None


def test_a_window_that_reaches_bone_and_air_is_linear_to_its_ends(tmp_path: Path) -> None:
    ct = read(save(tmp_path / "a.png", gray()), window=PictureWindow(600, 3400))
    assert (ct.hu[6, 10], ct.hu[0, 0]) == (2300, -1100)
    assert ct.hu[10, 14] == pytest.approx(128 / 255 * 3400 - 1100)


def test_jpeg_noise_outside_the_head_is_air(tmp_path: Path) -> None:
    pixels = gray()
    pixels[:4] = 8
    ct = read(save(tmp_path / "a.jpg", pixels, quality=100), window=BRAIN)
    assert set(np.unique(ct.hu[:2]).tolist()) == {-1000.0}
    assert ct.hu[16, 16] == pytest.approx(128 / 255 * 80, abs=0.7)


def test_an_unknown_window_is_said_on_every_row(tmp_path: Path) -> None:
    for number in range(2):
        save(tmp_path / f"{number}.png", gray())
    (series,) = scan([tmp_path], window=UNKNOWN_WINDOW).series
    for ref in series.slices:
        notes = load(ref).notes
        assert notes[:2] == (
            "8-bit picture, HU from window 40/80", "the window is unknown: 40/80 is assumed",
        )  # fmt: skip
        assert "2 of 2 slices without a position: ordered by file name" in notes


def test_without_a_window_a_picture_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", gray())
    (refused,) = scan([path]).refused
    assert (refused.error.status, str(refused.error)) == (
        "failed",
        f"{path}: not DICOM: a picture; give the window of pictures: --window CENTER,WIDTH, as "
        "40,80 of the brain, or unknown",
    )
    (refused,) = scan([tmp_path]).refused
    assert refused.error.status == "skipped"


def test_pictures_of_a_folder_are_a_series_by_name(tmp_path: Path) -> None:
    for folder, names in (("a", ("s10.png", "s2.jpg")), ("b", ("s1.png",))):
        (tmp_path / folder).mkdir()
        for name in names:
            save(tmp_path / folder / name, gray())
    found = scan([tmp_path], window=BRAIN)
    names = [[Path(ref.id.path).name for ref in one.slices] for one in found.series]
    assert names == [["s2.jpg", "s10.png"], ["s1.png"]]
    assert len({one.study for one in found.series}) == 2


def test_a_zip_of_pictures_is_read(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", gray())
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(path, "in/a.png")
    (series,) = scan([tmp_path / "a.zip"], window=BRAIN).series
    assert series.slices[0].id.path == f"{tmp_path}/a.zip!in/a.png"
    assert load(series.slices[0]).hu[6, 10] == 1000
    (refused,) = scan([tmp_path / "a.zip"]).refused
    assert "give the window of pictures" in str(refused.error)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_colour_with_equal_channels_is_gray(tmp_path: Path, mode: str) -> None:
    Image.fromarray(gray()).convert(mode).save(tmp_path / "a.png")
    ct = read(tmp_path / "a.png", window=BRAIN)
    assert ct.hu[10, 14] == pytest.approx(128 / 255 * 80)


def test_what_is_transparent_is_black(tmp_path: Path) -> None:
    alpha = np.where(gray() > 0, 255, 0)
    rgba = np.dstack([np.full((32, 40, 3), 200, np.uint8), alpha.astype(np.uint8)])
    ct = read(save(tmp_path / "a.png", rgba), window=BRAIN)
    assert (ct.hu[0, 0], ct.hu[10, 14]) == (-1000, pytest.approx(200 / 255 * 80))


def test_16_bits_span_the_window(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", gray().astype(np.uint16) * 257 - gray() // 128)
    ct = read(path, window=BRAIN)
    assert ct.notes[0] == "16-bit picture, HU from window 40/80"
    assert ct.hu[10, 14] == pytest.approx((128 * 257 - 1) / 65535 * 80)


def test_a_picture_may_show_a_patients_name(tmp_path: Path) -> None:
    found = scan([save(tmp_path / "a.png", gray())], window=BRAIN)
    assert shows_patient(found.series[0].slices[0], Limits())


def reason(found: Scan) -> InputError:
    if found.refused:
        return found.refused[0].error
    with pytest.raises(InputError) as caught:
        load(found.series[0].slices[0])
    return caught.value


def encoded(pixels: NDArray[Any], format: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format)
    return stream.getvalue()


def claim(raw: bytes, columns: int, rows: int) -> bytes:
    """Set the size in the IHDR chunk of a PNG, with its checksum."""
    header = b"IHDR" + struct.pack(">II", columns, rows) + raw[24:29]
    return raw[:12] + header + struct.pack(">I", zlib.crc32(header)) + raw[33:]


PNG, JPEG = encoded(gray(), "png"), encoded(gray(), "jpeg")
COLOUR = np.dstack([gray(), gray(), gray() // 2])


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (PNG[:-40], "the picture is damaged"),
        (PNG[:30], "the picture's header is damaged"),
        (JPEG[:-60], "the picture is damaged"),
        (JPEG[:20], "the picture's header is damaged"),
        (claim(PNG, 2**31 - 1, 2**31 - 1), "the limit is 4096"),
        (claim(PNG, 60_000, 32), "a picture of 60000 x 32, the limit is 4096"),
        (claim(PNG, 4000, 4000), "the picture is damaged"),
        (encoded(gray()[:8], "png"), "a picture of 40 x 8: too small for a slice"),
        (encoded(np.full((32, 32), 7, np.uint8), "png"), "all pixels of the picture are equal"),
    ],
)
def test_a_damaged_or_hostile_picture_is_one_line(tmp_path: Path, raw: bytes, text: str) -> None:
    (tmp_path / "a.png").write_bytes(raw)
    error = reason(scan([tmp_path / "a.png"], window=BRAIN))
    assert text in str(error)
    assert error.status == "failed"


@pytest.mark.parametrize(
    ("write", "text"),
    [
        (lambda path: save(path, COLOUR, format="png"), "a picture in colour"),
        (lambda path: save(path, gray() > 100, format="png"), "a picture of mode 1"),
        (
            lambda path: Image.fromarray(gray()).convert("CMYK").save(path, "jpeg"),
            "a picture of mode CMYK",
        ),
    ],
)
def test_a_picture_without_gray_levels_is_skipped(
    tmp_path: Path, write: Callable[[Path], object], text: str
) -> None:
    write(tmp_path / "a")
    error = reason(scan([tmp_path / "a"], window=BRAIN))
    assert isinstance(error, NotApplicableError)
    assert text in str(error)


def test_a_text_chunk_that_unpacks_to_gigabytes_is_skipped(tmp_path: Path) -> None:
    data = b"zTXt" + b"key\0\0" + zlib.compress(bytes(10**8), 9)
    chunk = struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))
    (tmp_path / "a.png").write_bytes(PNG[:33] + chunk + PNG[33:])
    error = reason(scan([tmp_path / "a.png"], window=BRAIN))
    assert "header is damaged" in str(error)
