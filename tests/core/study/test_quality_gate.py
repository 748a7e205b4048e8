"""The quality gate: whole phantoms and a real head pass, each fault is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ich_cli.core.dicom import CTSlice, Geometry, Note, SliceId
from ich_cli.core.phantom import PhantomConfig, generate_phantom
from ich_cli.core.series import load, scan
from ich_cli.core.study import measure
from ich_cli.core.study.quality_gate import GateSlice, assess
from ich_cli.core.study.slice_facts import BONE_HU, _enclosed, has_skull
from tests.support.scans import all_slices, only_slice


def phantom(seed: int = 3, size: int = 128) -> list[CTSlice]:
    """A whole head, 28 slices of about 5 mm."""
    study = generate_phantom(PhantomConfig(seed, size=size, slices=(28, 28), thickness=(5.0, 5.0)))
    across, down = study.geometry.orientation[:3], study.geometry.orientation[3:]
    return [
        CTSlice(
            hu.astype(np.float32),
            SliceId(f"{k}.dcm", instance=k + 1),
            Geometry(
                tuple(study.geometry.positions[k]),
                tuple(across),
                tuple(down),
                tuple(study.geometry.spacing),
                study.geometry.thickness,
                study.geometry.tilt,
            ),
        )
        for k, hu in enumerate(study.hu)
    ]


def codes(slices: Sequence[CTSlice], **counts: int) -> list[str]:
    seen = [GateSlice(measure(one), one.id.instance) for one in slices]
    return [reason.code for reason in assess(seen, **counts)]


def changed(ct: CTSlice, hu: np.ndarray) -> CTSlice:
    return replace(ct, hu=hu.astype(np.float32))


@pytest.fixture(scope="module")
def head() -> list[CTSlice]:
    return phantom()


@pytest.mark.parametrize("seed", [1, 3, 5, 8])
def test_whole_phantoms_pass(seed: int) -> None:
    assert codes(phantom(seed)) == []


def test_a_real_head_with_tilt_and_uneven_spacing_passes(shared_data: Path) -> None:
    slices = [load(ref) for ref in all_slices(scan([shared_data / "dicom/ge-head"]))]

    assert len(slices) == 28
    assert codes(slices) == []


def test_a_real_chest_is_no_head(shared_data: Path) -> None:
    ref = only_slice(shared_data / "dicom/transfer-syntaxes/CTImage.dcm")

    assert codes([load(ref)]) == ["not-a-head", "few-slices"]
    assert measure(load(ref)).body_mm == pytest.approx(346, abs=5)


def test_without_its_skull_it_is_no_head(head: list[CTSlice]) -> None:
    soft = [changed(one, np.where(one.hu > 150, 40, one.hu)) for one in head]

    assert codes(soft) == ["not-a-head"]


def test_an_open_skull_in_a_few_slices_is_still_a_head(head: list[CTSlice]) -> None:
    """A craniectomy: a third of the skull's ring is missing in six slices."""
    opened = [
        changed(one, np.where((one.hu > 150) & left_third(one), 40, one.hu)) if 12 < k < 19 else one
        for k, one in enumerate(head)
    ]

    assert codes(opened) == []


def left_third(ct: CTSlice) -> np.ndarray:
    return np.arange(ct.shape[1])[None, :] < ct.shape[1] / 3


def test_a_body_too_large_for_a_head_is_reported(head: list[CTSlice]) -> None:
    wide = [replace(one, geometry=replace(one.geometry, spacing=(3.5, 3.5))) for one in head]

    assert "not-a-head" in codes(wide)


def test_missing_slices_are_reported_where_instance_numbers_jump(head: list[CTSlice]) -> None:
    assert codes([*head[:9], *head[11:]]) == ["missing-slices"]


def test_a_wide_gap_is_reported_whatever_the_instance_numbers(head: list[CTSlice]) -> None:
    cut = [*head[:9], *head[13:]]
    numbered = [replace(one, id=SliceId("x", instance=k)) for k, one in enumerate(cut)]

    assert codes(numbered) == ["missing-slices"]


def test_few_slices_and_a_short_range_are_reported(head: list[CTSlice]) -> None:
    assert codes(head[12:18]) == ["few-slices"]
    assert codes(head[10:24]) == ["few-slices"]  # 14 slices, 65 mm


def test_thick_slices_are_reported(head: list[CTSlice]) -> None:
    thick = [replace(one, geometry=replace(one.geometry, thickness=10.0)) for one in head]

    assert codes(thick) == ["thick-slices"]


def test_metal_is_reported_at_the_level_of_the_brain_only(head: list[CTSlice]) -> None:
    middle = np.s_[60:66, 60:66]

    def with_metal(ct: CTSlice) -> CTSlice:
        hu = ct.hu.copy()
        hu[middle] = 3071
        return changed(ct, hu)

    skulls = [has_skull(measure(one)) for one in head]
    low = skulls.index(True) - 1
    assert codes([with_metal(one) if k == 15 else one for k, one in enumerate(head)]) == ["metal"]
    assert codes([with_metal(one) if k == low else one for k, one in enumerate(head)]) == []


def test_a_sideways_jump_of_the_head_is_reported(head: list[CTSlice]) -> None:
    pixels = round(14 / head[0].geometry.spacing[1])  # type: ignore[index]
    moved = [
        changed(one, np.roll(one.hu, pixels, axis=1)) if k >= 15 else one
        for k, one in enumerate(head)
    ]

    assert codes(moved) == ["motion"]


def test_contrast_named_in_the_header_is_reported(head: list[CTSlice]) -> None:
    assert codes([replace(head[0], notes=(Note.CONTRAST,)), *head[1:]]) == ["contrast"]


def test_what_was_left_out_counts(head: list[CTSlice]) -> None:
    assert codes(head, unreadable=2, not_axial=1) == ["not-axial", "unreadable"]
    steep = [replace(one, geometry=replace(one.geometry, tilt=40.0)) for one in head]
    assert codes(steep) == ["not-axial"]


def test_a_file_without_spacing_is_judged_by_what_it_shows(head: list[CTSlice]) -> None:
    bare = [replace(one, geometry=Geometry()) for one in head]

    facts = measure(bare[15])

    assert has_skull(facts)
    assert facts.metal_cm2 is None
    assert codes(bare) == []


@pytest.mark.parametrize("shape", [(1, 1), (3, 700), (64, 64), (513, 511)])
def test_any_picture_has_facts(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for hu in (np.full(shape, -1000.0), rng.normal(0, 900, shape)):
        facts = measure(CTSlice(hu.astype(np.float32), SliceId("x")))
        assert 0 <= facts.skull_share <= 1


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("shape", [(40, 40), (41, 43), (37, 50)])
def test_bone_wins_a_coarse_pixel(shape: tuple[int, int], step: int) -> None:
    rng = np.random.default_rng(step)
    hu = np.where(rng.random(shape) < 0.02, BONE_HU + 1, 0).astype(np.float32)
    hu[4:-4, 4] = hu[4:-4, -5] = hu[4, 4:-4] = hu[-5, 4:-4] = 900
    rows, columns = -(-shape[0] // step), -(-shape[1] // step)
    bone = np.array(
        [
            [(hu[r * step : (r + 1) * step, c * step : (c + 1) * step] > BONE_HU).any()
             for c in range(columns)]
            for r in range(rows)
        ]
    )  # fmt: skip
    found = _enclosed(hu, step)
    assert found.shape == bone.shape
    assert found.any()
    assert not (found & bone).any()
