from __future__ import annotations

import numpy as np
import pytest

from ich_cli.core.errors import UsageError
from ich_cli.core.labels import SUBTYPES
from ich_cli.core.phantom import PhantomConfig, PhantomStudy, generate_phantom
from ich_cli.core.phantom.studies import VISIBLE_AREA_MM2


def small(seed: int, *subtypes: str, mimics: bool = False, slices: int = 3) -> PhantomStudy:
    return generate_phantom(
        PhantomConfig(seed, subtypes, 160, (slices, slices), (5.0, 5.0), mimics)
    )


@pytest.fixture(scope="module")
def normal() -> PhantomStudy:
    return generate_phantom(PhantomConfig(3, (), 256, (32, 32), (5.0, 5.0), mimics=False))


def test_the_same_seed_gives_the_same_bytes() -> None:
    first, second = small(11, "subdural", mimics=True), small(11, "subdural", mimics=True)
    assert first.hu.tobytes() == second.hu.tobytes()
    assert first.masks.tobytes() == second.masks.tobytes()
    assert first.geometry.positions == second.geometry.positions


def test_another_seed_gives_another_head() -> None:
    assert not np.array_equal(small(11).hu, small(12).hu)


def test_shapes_and_types(normal: PhantomStudy) -> None:
    assert normal.hu.shape == normal.masks.shape == (32, 256, 256)
    assert (normal.hu.dtype, normal.masks.dtype, normal.labels.dtype) == (
        np.int16,
        np.uint8,
        np.uint8,
    )
    assert normal.labels.shape == (32, 6)
    assert normal.hu.min() >= -1024
    assert normal.hu.max() <= 3071


def test_a_head_without_blood_has_no_label(normal: PhantomStudy) -> None:
    assert not normal.labels.any()
    assert not normal.masks.any()


def test_a_normal_head_holds_air_bone_fat_and_brain(normal: PhantomStudy) -> None:
    middle = normal.hu[16:22]
    assert np.median(middle[:, :8, :8]) == pytest.approx(-1000, abs=45)  # the corner
    center = middle[:, 108:148, 108:148]
    assert 20 < np.median(center) < 45  # brain
    assert np.percentile(middle, 99) > 700  # bone
    assert ((middle > -130) & (middle < -60)).mean() > 0.004  # fat of the scalp


@pytest.mark.parametrize("subtype", SUBTYPES)
def test_each_subtype_is_seen_where_its_mask_is(subtype: str) -> None:
    seen = 0
    for seed in range(4):
        study = small(seed, subtype)
        column = 1 + SUBTYPES.index(subtype)
        assert not np.delete(study.labels[:, 1:], column - 1, axis=1).any()
        seen += int(study.labels[:, column].any())
    assert seen >= 3


@pytest.mark.parametrize("subtype", ["epidural", "intraparenchymal", "intraventricular"])
def test_acute_blood_is_brighter_than_brain(subtype: str) -> None:
    bright = []
    for seed in range(5):
        study = small(seed, subtype)
        mask = study.mask(subtype)
        if mask.sum() > 40:
            bright.append(float(np.median(study.hu[mask])))
    assert bright
    assert 45 < np.median(bright) < 95


def test_labels_follow_the_masks() -> None:
    study = generate_phantom(PhantomConfig(5, SUBTYPES, 160, (8, 8), (5.0, 5.0)))
    pixel = float(np.prod(study.geometry.spacing))
    for k, name in enumerate(SUBTYPES):
        area = study.mask(name).sum(axis=(1, 2)) * pixel
        assert np.array_equal(study.labels[:, k + 1] == 1, area > 0)
        assert (area[area > 0] >= VISIBLE_AREA_MM2).all()
    assert np.array_equal(study.labels[:, 0], study.labels[:, 1:].max(axis=1))
    assert np.array_equal(study.mask("any"), study.masks > 0)


def test_a_hemorrhage_spans_neighbouring_slices() -> None:
    study = generate_phantom(
        PhantomConfig(2, ("epidural",), 128, (30, 40), (3.0, 3.0), mimics=False)
    )
    found = np.flatnonzero(study.labels[:, 1])
    assert len(found) >= 3
    assert np.array_equal(found, np.arange(found[0], found[-1] + 1))


def test_an_epidural_touches_the_skull_and_a_deep_hemorrhage_does_not() -> None:
    study = small(104, "epidural")
    mask = study.mask("epidural")
    k = int(mask.sum(axis=(1, 2)).argmax())
    rows, cols = np.nonzero(mask[k])
    bone = study.hu[k] > 300
    near = [bone[max(0, r - 3) : r + 4, max(0, c - 3) : c + 4].any() for r, c in zip(rows, cols)]  # noqa: B905
    assert any(near)
    assert not bone[rows, cols].all()


def test_random_mixtures_hold_negatives_and_positives() -> None:
    sums = [
        int(generate_phantom(PhantomConfig(seed, None, 64, (3, 3), (5.0, 5.0))).labels.sum())
        for seed in range(14)
    ]
    assert 0 in sums
    assert max(sums) > 0


def test_slices_rise_by_their_thickness_along_the_normal() -> None:
    for seed in range(6):
        geometry = small(seed).geometry
        right, down = np.array(geometry.orientation[:3]), np.array(geometry.orientation[3:])
        steps = np.diff(np.array(geometry.positions), axis=0) @ np.cross(right, down)
        assert steps == pytest.approx(np.full(2, 5.0), abs=1e-3)
        assert np.linalg.norm(down) == pytest.approx(1, abs=1e-6)
        assert down[2] == pytest.approx(-np.sin(np.deg2rad(geometry.tilt)), abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": 1, "subtypes": ("any",)}, "unknown subtype any"),
        ({"seed": 1, "size": 32}, "size"),
        ({"seed": 1, "slices": (9, 4)}, "slices"),
        ({"seed": 1, "thickness": (0.1, 4.0)}, "thickness"),
    ],
)
def test_config_refuses_nonsense(settings: dict[str, object], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        PhantomConfig(**settings)  # type: ignore[arg-type]


def test_mask_of_a_label() -> None:
    with pytest.raises(UsageError, match="unknown label"):
        small(1).mask("epidermal")
