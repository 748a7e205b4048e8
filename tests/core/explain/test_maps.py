from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from numpy.typing import NDArray

from ich_cli.core.bundle import BundleConfig, LoadedBundle, save_bundle, save_ensemble
from ich_cli.core.dicom import CTSlice, SliceId
from ich_cli.core.engines import model_input
from ich_cli.core.errors import IchError, UsageError
from ich_cli.core.explain import explain
from ich_cli.core.explain.cam import CLASS_AGNOSTIC, CLASSES
from ich_cli.core.explain.maps import METHODS, Explanation, choose_labels
from ich_cli.core.imaging import Window
from ich_cli.core.labels import LABELS
from ich_cli.core.model import build_model
from ich_cli.core.predict import Predictor
from ich_cli.core.preprocessing import PreprocessConfig, prepare, uncrop
from tests.support.bright import TRAINING, bright, head_with_spot, noise
from tests.support.orientations import ORIENTATIONS, UPRIGHT, oblong, rearranged, reoriented


@pytest.fixture(scope="module")
def predictor(tiny_bundle: Path) -> Predictor:
    return Predictor.load(tiny_bundle, device="cpu")


def centre(values: NDArray[np.float32]) -> tuple[float, float]:
    rows, columns = np.indices(values.shape)
    return float((rows * values).sum() / values.sum()), float(
        (columns * values).sum() / values.sum()
    )


@given(
    st.integers(20, 80), st.integers(20, 80), st.integers(60, 100), st.integers(60, 100),
    st.floats(0.25, 0.75), st.floats(0.25, 0.75), st.sampled_from([64, 96, 128, 200]),
)  # fmt: skip
def test_a_spot_comes_back_to_its_pixel_through_crop_and_resize(
    top: int, left: int, high: int, wide: int, down: float, across: float, size: int
) -> None:
    spot = (top + round(down * high), left + round(across * wide))
    ct = head_with_spot((220, 200), (top, left, top + high, left + wide), spot, 2)
    prep = PreprocessConfig(size=size, windows=(Window(70, 10),), mean=(0,), std=(1,))
    prepared = prepare(ct, prep)
    back = uncrop(prepared.pixels[0].astype(np.float32), prepared.placement, ct.shape)
    row, column = centre(back)
    assert abs(row - spot[0]) <= 1
    assert abs(column - spot[1]) <= 1


@given(st.integers(5, 215), st.integers(5, 195), st.sampled_from([128, 200, 512]))
def test_a_planted_pixel_comes_back_by_the_dlmi_way_too(row: int, column: int, size: int) -> None:
    hu = np.full((220, 200), -1000, np.float32)
    hu[2:218, 2:198] = -19  # black in its brain window, but above 0 in its bone window
    hu[row - 1 : row + 2, column - 1 : column + 2] = 79
    ct = CTSlice(hu, SliceId("made by a test"))
    prepared = prepare(ct, PreprocessConfig.dlmi(size))
    back = uncrop(prepared.pixels[0].astype(np.float32), prepared.placement, ct.shape)
    found = centre(back)
    assert abs(found[0] - row) <= 1
    assert abs(found[1] - column) <= 1


def test_a_model_with_context_sees_its_neighbours(tmp_path: Path) -> None:
    torch.manual_seed(4)
    prep = PreprocessConfig(size=64, context=1)
    model = build_model("test_resnet", in_chans=prep.channels)
    torch.nn.init.normal_(model.get_classifier().weight, std=0.5)  # type: ignore[operator]
    save_bundle(tmp_path / "c", model, BundleConfig("test_resnet", TRAINING, prep))
    predictor = Predictor.load(tmp_path / "c", device="cpu")
    around = {1: [noise(1), noise(2)]}
    found = explain(predictor, noise(), ["any"], neighbours=around)
    expected = predictor.probabilities(predictor.prepare(noise(), around)[0].pixels[None])[0]
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-6)
    assert found.maps["any"].shape == (90, 70)
    alone = explain(predictor, noise(), ["any"])
    assert found.probabilities != alone.probabilities


@pytest.mark.parametrize("method", CLASSES)
@pytest.mark.parametrize("spot", [(70, 60), (110, 140), (130, 52)])
def test_the_map_is_where_the_model_looked(method: str, spot: tuple[int, int]) -> None:
    ct = head_with_spot((200, 200), (40, 40, 150, 160), spot, 4)
    found = explain(bright(), ct, ["any"], method=method)
    row, column = centre(np.where(found.maps["any"] > 0.5 * found.maps["any"].max(), 1, 0))
    assert abs(row - spot[0]) <= 1.5  # cells of the feature map are 3.8 pixels of the slice
    assert abs(column - spot[1]) <= 1.5


@pytest.mark.parametrize("how", ORIENTATIONS)
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_a_map_lies_on_the_stored_pixels(how: tuple[int, bool], axis: int | None) -> None:
    upright = head_with_spot((200, 200), (40, 40, 150, 160), (110, 140), 4)
    upright = replace(upright, geometry=UPRIGHT)
    straight = upright if axis is None else oblong(upright, axis)
    stored = reoriented(straight, *how)
    found = explain(bright(), stored, ["any"])
    expected = explain(bright(), straight, ["any"])
    assert found.probabilities == expected.probabilities
    values = found.maps["any"]
    np.testing.assert_array_equal(values, rearranged(expected.maps["any"], *how))
    row, column = centre(np.where(values > 0.5 * values.max(), 1, 0))
    spot = centre(np.where(stored.hu > 50, 1, 0))
    assert abs(row - spot[0]) <= 1
    assert abs(column - spot[1]) <= 1


@pytest.mark.parametrize("method", sorted(set(CLASSES) - CLASS_AGNOSTIC))
def test_a_label_that_is_spoken_against_has_an_empty_map(method: str) -> None:
    ct = head_with_spot((200, 200), (40, 40, 150, 160), (90, 90), 4)
    found = explain(bright(), ct, ["epidural"], method=method)
    assert not found.maps["epidural"].any()
    assert found.peaks() == {}


@pytest.mark.parametrize("method", CLASSES)
def test_labels_together_are_as_labels_alone(predictor: Predictor, method: str) -> None:
    together = explain(predictor, noise(), LABELS, method=method)
    assert tuple(together.maps) == LABELS
    for label in ("any", "subdural"):
        alone = explain(predictor, noise(), [label], method=method)
        np.testing.assert_allclose(alone.maps[label], together.maps[label], atol=1e-5)


def test_maps_have_the_slices_size_and_their_probability_as_peak(predictor: Predictor) -> None:
    found = explain(predictor, noise(), LABELS)
    for label, p in zip(LABELS, found.probabilities, strict=True):
        values = found.maps[label]
        assert values.shape == (90, 70)
        assert values.dtype == np.float32
        assert values.min() >= 0
        assert values.max() <= p + 1e-6
        assert values.max() == 0 or values.max() >= 0.8 * p  # bilinear: a little may be lost


def test_probabilities_are_the_predictors(predictor: Predictor) -> None:
    found = explain(predictor, noise())
    expected = predictor.probabilities(predictor.prepare(noise())[0].pixels[None])[0]
    np.testing.assert_allclose(found.probabilities, expected, atol=1e-6)


def test_gradcam_is_class_activation_mapping_behind_a_pooled_linear_head(
    predictor: Predictor,
) -> None:
    model, config = predictor.bundle.members[0]
    prepared = predictor.prepare(noise())[0]
    with torch.no_grad():
        features = model.forward_features(  # type: ignore[operator]
            model_input(prepared.pixels[None], config.preprocess, "cpu")
        )[0]
        weights = model.get_classifier().weight[5]  # type: ignore[operator]
    cam = torch.einsum("k,khw->hw", weights, features).clamp(min=0).numpy()
    found = explain(predictor, noise(), ["subdural"])
    peak = found.probabilities[5]
    expected = uncrop(cam / cam.max() * np.float32(peak), prepared.placement, (90, 70))
    np.testing.assert_allclose(found.maps["subdural"], expected, atol=1e-4)


def test_the_model_is_unchanged_afterwards(predictor: Predictor) -> None:
    model = predictor.bundle.models[0]
    before = predictor.probabilities(predictor.prepare(noise())[0].pixels[None])
    explain(predictor, noise(), LABELS)
    assert all(p.grad is None for p in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.is_grad_enabled()
    after = predictor.probabilities(predictor.prepare(noise())[0].pixels[None])
    assert np.array_equal(before, after)


def test_works_inside_no_grad(predictor: Predictor) -> None:
    with torch.no_grad():
        inside = explain(predictor, noise(), ["any"])
    assert np.array_equal(inside.maps["any"], explain(predictor, noise(), ["any"]).maps["any"])


def _save(folder: Path, seed: int, size: int) -> Path:
    torch.manual_seed(seed)
    model = build_model("test_resnet")
    torch.nn.init.normal_(model.get_classifier().weight, std=0.5)  # type: ignore[operator]
    save_bundle(folder, model, BundleConfig("test_resnet", TRAINING, PreprocessConfig(size=size)))
    return folder


def test_ensemble_is_the_mean_of_its_members_over_the_slice(tmp_path: Path) -> None:
    folders = [_save(tmp_path / "a", 1, 64), _save(tmp_path / "b", 2, 96)]
    save_ensemble(tmp_path / "both", folders, BundleConfig("ensemble", TRAINING))

    def output(folder: Path) -> Explanation:
        return explain(Predictor.load(folder, device="cpu"), noise(), LABELS)

    whole, parts = output(tmp_path / "both"), [output(folder) for folder in folders]
    for label in LABELS:
        mean = np.mean([part.maps[label] for part in parts], axis=0)
        np.testing.assert_allclose(whole.maps[label], mean, atol=1e-6)
    mean_p = np.mean([part.probabilities for part in parts], axis=0)
    np.testing.assert_allclose(whole.probabilities, mean_p, atol=1e-6)


def test_labels_are_the_positive_ones_or_the_most_likely() -> None:
    six = (0.6, 0.1, 0.7, 0.2, 0.0, 0.3)
    assert choose_labels(six, ("any", "subdural")) == ("any", "subdural")
    assert choose_labels(six, ()) == ("intraparenchymal",)


def test_unknown_labels_and_methods_are_refused(predictor: Predictor) -> None:
    with pytest.raises(UsageError, match="unknown label 'sub'"):
        explain(predictor, noise(), ["sub"])
    with pytest.raises(UsageError, match="unknown method 'magic'"):
        explain(predictor, noise(), method="magic")
    with pytest.raises(UsageError, match="no patch head, which patch needs; use gradcam"):
        explain(predictor, noise(), method="patch")


@pytest.fixture(scope="module")
def celled() -> Predictor:
    torch.manual_seed(6)
    model = build_model("test_resnet", head="patch").eval()
    torch.nn.init.normal_(model.get_classifier().weight, std=0.5)  # type: ignore[operator]
    config = BundleConfig("test_resnet", TRAINING, PreprocessConfig(size=96))
    return Predictor(LoadedBundle(config, (model,), (config,), "", Path()), "cpu")


def test_a_patch_head_shows_patch_probabilities(celled: Predictor) -> None:
    ct = noise(shape=(96, 96))
    ct.hu[:] = np.random.default_rng(2).integers(0, 90, (96, 96))  # fills it: nothing is cropped
    found = explain(celled, ct, LABELS)
    assert found.method == "patch"
    model, config = celled.bundle.members[0]
    pixels = model_input(celled.prepare(ct)[0].pixels[None], config.preprocess, "cpu")
    with torch.no_grad():
        one, other = (
            model.patch_logits(model.forward_features(x)).sigmoid()[0]  # type: ignore[operator]
            for x in (pixels, pixels.flip(-1))
        )
    mean = ((one + other.flip(-1)) / 2).numpy()
    for k, label in enumerate(LABELS):
        at = found.maps[label][4::8, 4::8]  # near the centres of the 12 by 12 cells
        expected = mean[k] / mean[k].max() * found.probabilities[k]
        assert np.corrcoef(at.ravel(), expected.ravel())[0, 1] > 0.97
        assert 0.8 * found.probabilities[k] <= found.maps[label].max() <= found.probabilities[k]


def test_patch_maps_of_a_mirrored_slice_are_mirrored(celled: Predictor) -> None:
    ct = noise()
    turned = CTSlice(ct.hu[:, ::-1].copy(), ct.id)
    maps, others = explain(celled, ct, LABELS).maps, explain(celled, turned, LABELS).maps
    for label in LABELS:
        straight, back = maps[label], others[label][:, ::-1]
        np.testing.assert_allclose(
            straight / straight.max(), back / back.max(), atol=0.02
        )  # their peaks differ: each is the probability of its own slice


@pytest.mark.parametrize("method", METHODS)
def test_a_patch_head_supports_every_method(celled: Predictor, method: str) -> None:
    assert explain(celled, noise(), ["any"], method=method).method == method


def test_a_backbone_without_a_feature_map_is_refused() -> None:
    prep = PreprocessConfig(size=160)
    config = BundleConfig("test_vit", TRAINING, prep)
    model = build_model("test_vit").eval()
    vit = Predictor(LoadedBundle(config, (model,), (config,), "", Path()), "cpu")
    with pytest.raises(IchError, match="test_vit has no feature map"):
        explain(vit, noise())
