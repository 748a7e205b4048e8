from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ich_cli.core.explain import Probe, explain, faithfulness
from ich_cli.core.explain.perturbation import hottest, random_regions
from ich_cli.core.labels import LABELS
from ich_cli.core.predict import Predictor
from tests.support.bright import bright, head_with_spot, noise
from tests.support.orientations import UPRIGHT, rearranged, reoriented


def test_replacing_the_hottest_region_of_a_faithful_map_lowers_the_probability() -> None:
    # the model sees nothing but the bright spot; its map is over the spot
    predictor, ct = bright(), head_with_spot((200, 200), (40, 40, 150, 160), (90, 80), 5)
    found = explain(predictor, ct, ["any"])
    one = faithfulness(predictor, found)["any"]
    assert one.before == pytest.approx(found.probabilities[0], abs=1e-6)
    assert one.without == pytest.approx(0.5, abs=0.02)  # what is left without it
    assert one.drop > 0.1
    assert one.drop > 3 * one.drop_random
    assert one.to_dict()["drop"] == pytest.approx(one.before - one.without, abs=2e-6)


def test_replacing_the_hottest_region_of_an_unfaithful_map_changes_nothing() -> None:
    predictor, ct = bright(), head_with_spot((200, 200), (40, 40, 150, 160), (90, 80), 5)
    wrong = np.zeros((200, 200), np.float32)
    wrong[130:140, 120:130] = 0.9
    one = Probe(predictor, ct).measure({"any": wrong})["any"]
    assert one.drop == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("how", [(1, False), (3, True)])
def test_a_slice_stored_turned_is_replaced_by_its_mirror_image_too(how: tuple[int, bool]) -> None:
    upright = head_with_spot((200, 200), (40, 40, 150, 160), (90, 80), 5)
    upright = replace(upright, geometry=UPRIGHT)
    upright.hu[60:70, 60:66] = 60  # with its mirror image, the head has only one upright midline
    upright.hu[60:70, 134:140] = 60
    predictor, turned = bright(), reoriented(upright, *how)
    region = np.zeros((200, 200), bool)
    region[80:100, 70:90] = True
    expected = Probe(predictor, upright).predict_without([region])
    found = Probe(predictor, turned).predict_without([rearranged(region, *how)])
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_an_empty_map_is_left_out() -> None:
    predictor, ct = bright(), head_with_spot((200, 200), (40, 40, 150, 160), (90, 80), 5)
    found = explain(predictor, ct, ["any", "epidural"])
    assert not found.maps["epidural"].any()
    assert list(faithfulness(predictor, found)) == ["any"]


def test_air_alone_has_nothing_to_replace(tiny_bundle: Path) -> None:
    from ich_cli.core.dicom import CTSlice, SliceId

    air = CTSlice(np.full((64, 64), -1000, np.float32), SliceId("air"))
    predictor = Predictor.load(tiny_bundle, device="cpu")
    assert faithfulness(predictor, explain(predictor, air, LABELS)) == {}


def test_the_seed_fixes_it_and_the_probabilities_are_the_predictors(tiny_bundle: Path) -> None:
    predictor = Predictor.load(tiny_bundle, device="cpu")
    found = explain(predictor, noise(), LABELS)
    once, again = faithfulness(predictor, found, seed=3), faithfulness(predictor, found, seed=3)
    assert once == again
    other = faithfulness(predictor, found, seed=4)
    assert any(once[label].random_region != other[label].random_region for label in once)


def test_hottest_is_inside_the_head_and_has_the_requested_size() -> None:
    head = np.zeros((20, 20), bool)
    head[5:15, 5:15] = True
    values = np.zeros((20, 20), np.float32)
    values[0, 0] = 1.0  # outside
    values[8, 9] = 0.5
    region = hottest(values, head, 9)
    assert region.sum() == 9
    assert not (region & ~head).any()
    assert region[7:10, 8:11].all()  # of equal pixels, those around the peak


def test_random_regions_are_of_the_same_size_inside_the_head() -> None:
    head = np.zeros((40, 30), bool)
    head[4:36, 6:25] = True
    regions = random_regions(head, 50, 4, seed=0)
    assert [int(region.sum()) for region in regions] == [50] * 4
    assert not any((region & ~head).any() for region in regions)
    assert len({region.tobytes() for region in regions}) == 4
    again = random_regions(head, 50, 4, seed=0)
    assert all(np.array_equal(a, b) for a, b in zip(regions, again, strict=True))


def test_a_shared_region_is_predicted_once(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor.load(tiny_bundle, device="cpu")
    sizes = []
    probabilities = predictor.probabilities
    monkeypatch.setattr(
        predictor, "probabilities", lambda *p: (sizes.append(len(p[0])), probabilities(*p))[1]
    )
    probe = Probe(predictor, noise(), draws=2)
    maps = {"any": np.eye(90, 70, dtype=np.float32), "subdural": np.eye(90, 70, dtype=np.float32)}
    probe.measure(maps)
    probe.measure(maps)
    assert sorted(sizes) == [1, 1, 2]  # the region, the slice, the random regions


@pytest.mark.parametrize(("share", "draws"), [(0, 5), (1, 5), (0.1, 0)])
def test_senseless_settings_are_refused(tiny_bundle: Path, share: float, draws: int) -> None:
    predictor = Predictor.load(tiny_bundle, device="cpu")
    with pytest.raises(ValueError, match="share must be between 0 and 1"):
        Probe(predictor, noise(), share=share, draws=draws)
