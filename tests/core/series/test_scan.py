"""Series: anatomical order whatever the names, what their places tell, neighbours."""

from __future__ import annotations

import pickle
import random
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

from ich_cli.core.dicom import Geometry, SliceId, natural_key
from ich_cli.core.errors import InputError, NotApplicableError
from ich_cli.core.series import Scan, SliceRef, load, read_slices, scan
from ich_cli.core.series.ordering import in_order
from tests.support.dicom import ct, enhanced, save, series, tissue


def heights(found: Scan) -> list[float]:
    (only,) = found.series
    return [ref.geometry.position[2] for ref in only.slices if ref.geometry.position is not None]


def test_position_decides_not_name_nor_number(tmp_path: Path) -> None:
    series(tmp_path, [20, 0, 10, 5, 15], ["a", "b", "c", "d", "e"])
    assert heights(scan([tmp_path])) == [0, 5, 10, 15, 20]


def test_from_feet_to_head_also_where_the_normal_points_down(tmp_path: Path) -> None:
    series(tmp_path, [0, 10, 5], orientation=(1, 0, 0, 0, -1, 0))
    assert heights(scan([tmp_path])) == [0, 5, 10]


def test_without_positions_instance_numbers_decide(tmp_path: Path) -> None:
    for number, name in ((10, "a"), (2, "b"), (1, "c")):
        save(tmp_path / name, ct(position=None, instance=number))
    (only,) = scan([tmp_path]).series
    assert [ref.id.instance for ref in only.slices] == [1, 2, 10]
    assert only.notes == ("3 of 3 slices without a position: ordered by InstanceNumber",)
    assert all(ref.notes == only.notes for ref in only.slices)


def test_without_positions_slice_locations_decide(tmp_path: Path) -> None:
    for number, z in enumerate((10, 0, 5)):
        ds = ct(position=None, orientation=None, instance=number, SliceLocation=z)
        save(tmp_path / f"{number}", ds)
    (only,) = scan([tmp_path]).series
    assert [ref.geometry.location for ref in only.slices] == [0, 5, 10]
    assert only.notes == ("3 of 3 slices without a position: ordered by SliceLocation",)


def test_names_decide_last_and_naturally(tmp_path: Path) -> None:
    for name in ("s10", "s2", "s1"):
        uid = f"1.{name[1:]}"
        save(tmp_path / name, ct(position=None, instance=None, SOPInstanceUID=uid))
    (only,) = scan([tmp_path]).series
    assert [Path(ref.source.name).name for ref in only.slices] == ["s1", "s2", "s10"]
    assert only.notes == ("3 of 3 slices without a position: ordered by file name",)
    assert sorted(["s10", "s2", "S1"], key=natural_key) == ["S1", "s2", "s10"]


def test_series_are_in_the_order_of_their_first_files_and_other_files_last(tmp_path: Path) -> None:
    save(tmp_path / "1", ct(series="1.1", position=(0, 0, 5)))
    (tmp_path / "2.txt").write_text("notes")
    save(tmp_path / "3", ct(series="1.2"))
    save(tmp_path / "4", ct(series="1.1", position=(0, 0, 0)))
    found = scan([tmp_path])
    names = [[Path(ref.source.name).name for ref in one.slices] for one in found.series]
    assert names == [["4", "1"], ["3"]]
    (other,) = found.refused
    assert Path(other.id.path).name == "2.txt"
    assert isinstance(other.error, NotApplicableError)
    assert (found.slices, len(found)) == (3, 4)


def test_a_refused_file_belongs_to_the_series_of_its_uids(tmp_path: Path) -> None:
    save(tmp_path / "1", ct(series="1.1"))
    save(tmp_path / "2", ct(series="1.1", RescaleSlope="-1"))
    save(tmp_path / "3", ct(series="1.2", RescaleSlope="-1"))
    found = scan([tmp_path])
    (only,) = found.series
    assert [Path(one.id.path).name for one in only.refused] == ["2"]
    assert [(Path(one.id.path).name, one.id.series_uid) for one in found.refused] == [("3", "1.2")]


def test_a_refused_frame_belongs_to_the_series_of_its_file(tmp_path: Path) -> None:
    rescales = [("-1", "0"), ("1", "-1024")]
    ds = enhanced(np.stack([tissue(), tissue()]), [(0, 0, 0), (0, 0, 5)], rescales)
    del ds.SeriesInstanceUID
    (only,) = scan([save(tmp_path / "a", ds)]).series
    assert [ref.id.frame for ref in only.slices] == [2]
    assert [one.error.reason for one in only.refused] == ["frame 1: RescaleSlope is -1"]


def test_a_key_is_the_same_in_every_run_and_unique(tmp_path: Path) -> None:
    for name in ("1.1", "1.2"):
        series(tmp_path / name, [0, 5], series=name)
    first, second = (one.key for one in scan([tmp_path]).series)
    assert [one.key for one in scan([tmp_path]).series] == [first, second]
    assert re.fullmatch("[0-9a-f]{32}", first)
    assert first != second


def frame(z: float, number: int, name: str, notes: tuple[str, ...] = ()) -> SliceRef:
    base = _BASE[0]
    geometry = replace(base.geometry, position=(0.3, -0.7, z))
    id = SliceId(name, 1, "1.2.3", "1.2.3.4", f"1.{number}", number)
    return replace(base, id=id, geometry=geometry, notes=notes)


_BASE: list[SliceRef] = []


@pytest.fixture(autouse=True)
def _base(tmp_path_factory: pytest.TempPathFactory) -> None:
    if not _BASE:
        (only,) = scan([save(tmp_path_factory.mktemp("base") / "a", ct())]).series
        _BASE.extend(only.slices)


@given(
    st.lists(st.tuples(st.floats(-500, 500), st.integers(0, 5)), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
    st.floats(-0.5, 0.5),
)
def test_any_shuffle_gives_the_same_order(
    places: list[tuple[float, int]], rng: random.Random, lean: float
) -> None:
    refs = [frame(z, number, f"s{at}") for at, (z, number) in enumerate(places)]
    length = (1 + lean**2) ** 0.5
    tilted = Geometry((0, 0, 0), (1, 0, 0), (0, 1 / length, lean / length))
    refs[0] = replace(refs[0], geometry=replace(tilted, position=refs[0].geometry.position))
    shuffled = list(refs)
    rng.shuffle(shuffled)
    assert in_order(refs) == in_order(shuffled)


def notes_of(places: list[tuple[float, int]]) -> tuple[str, ...]:
    _, notes = in_order([frame(z, number, f"s{at}") for at, (z, number) in enumerate(places)])
    return notes


def test_even_spacing_has_no_note() -> None:
    assert notes_of([(5.0 * at + 0.1 * (at % 2), at) for at in range(10)]) == ()


def test_uneven_spacing_is_noted() -> None:
    thick_and_thin = [(3.0 * at, at) for at in range(5)] + [
        (12 + 6.3 * at, 4 + at) for at in (1, 2)
    ]
    assert notes_of(thick_and_thin) == ("uneven slice spacing 3.0 to 6.3 mm",)


def test_missing_slices_are_noted() -> None:
    places = [(5.0 * at, at) for at in range(10) if at not in (4, 5)]
    assert notes_of(places) == ("slices that seem to be missing from the series: 2",)


def test_doubled_positions_are_noted() -> None:
    places = [(5.0 * at, at + 10 * kernel) for at in range(4) for kernel in (0, 1)]
    assert notes_of(places) == ("positions with several slices: 4 (kernels or phases mixed?)",)


def test_tilt_from_the_tag_else_from_the_orientation(tmp_path: Path) -> None:
    series(tmp_path / "a", [0, 5], GantryDetectorTilt="-12.5", series="1.1")
    tilted = (1.0, 0.0, 0.0, 0.0, 0.9396926, -0.3420201)  # 20 degrees about the left-right axis
    series(tmp_path / "b", [0, 5], orientation=tilted, series="1.2")
    notes = [one.notes for one in scan([tmp_path]).series]
    assert notes == [("gantry tilt -12.5 degrees",), ("gantry tilt 20.0 degrees",)]


def test_neighbours_end_with_the_series(tmp_path: Path) -> None:
    series(tmp_path, [0, 5, 10])
    (only,) = scan([tmp_path]).series
    first, second, third = only.slices
    assert only.neighbours(0, 1) == [None, second]
    assert only.neighbours(1, 2) == [None, first, third, None]
    assert only.neighbours(2, 1) == [second, None]
    assert only.neighbours(1, 0) == []


def test_a_reference_crosses_processes_and_threads(tmp_path: Path) -> None:
    series(tmp_path, [0, 5, 10])
    (only,) = pickle.loads(pickle.dumps(scan([tmp_path]))).series
    with ThreadPoolExecutor(4) as pool:
        slices = list(pool.map(load, only.slices * 5))
    assert all(one.hu[16, 16] == 40.0 for one in slices)


def test_read_slices_is_in_order_and_stops_at_an_error(tmp_path: Path) -> None:
    series(tmp_path, [5, 0])
    assert [one.id.instance for one in read_slices(tmp_path)] == [2, 1]
    (tmp_path / "z.dcm").write_text("text")
    reader = read_slices(tmp_path)
    assert [next(reader).id.instance, next(reader).id.instance] == [2, 1]
    with pytest.raises(InputError, match="not DICOM"):
        next(reader)


def test_the_real_head(shared_data: Path) -> None:
    (only,) = scan([shared_data / "dicom" / "ge-head"]).series
    assert [ref.id.instance for ref in only.slices] == list(range(1, 29))
    assert only.notes == ("gantry tilt 18.5 degrees", "uneven slice spacing 1.1 to 7.0 mm")
    assert all(ref.notes == only.notes for ref in only.slices)


@given(
    st.lists(st.floats(-500, 500), min_size=1, max_size=12),
    st.floats(-0.5, 0.5),
    st.randoms(use_true_random=False),
)
def test_slices_go_from_the_feet_to_the_head_along_their_normal(
    heights: list[float], lean: float, rng: random.Random
) -> None:
    length = (1 + lean**2) ** 0.5
    row, column = (1.0, 0.0, 0.0), (0.0, 1 / length, lean / length)
    refs = [
        replace(one, geometry=Geometry((rng.uniform(-9, 9), rng.uniform(-9, 9), z), row, column))
        for one, z in ((frame(z, at, f"s{at}"), z) for at, z in enumerate(heights))
    ]
    found = [one.geometry.along_normal() for one in in_order(refs)[0]]
    assert len(found) == len(heights)
    # places less than a tenth of a millimetre apart are one: their InstanceNumber decides
    assert all(after >= before - 0.2 for before, after in pairwise(found))
