"""The known traps of grad-cam, one test each."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection_with_sign_correction
from torch import Tensor, nn

from ich_cli.core.explain import explain, explain_batch
from ich_cli.core.explain.cam import CLASS_AGNOSTIC, CLASSES, raw_maps
from ich_cli.core.labels import LABELS
from ich_cli.core.predict import Predictor
from tests.support.bright import noise


class Head(nn.Module):
    """Features (N, 2, h, w) → two logits: 3 times the mean of channel 0, 5 of channel 1."""

    def __init__(self, *, broken: bool = False) -> None:
        super().__init__()
        self.broken = broken
        self.scale = nn.Parameter(torch.tensor([3.0, 5.0]))

    def forward_head(self, x: Tensor) -> Tensor:
        if self.broken:
            raise IndexError("out of range")
        # in place, as the heads of timm's ResNets go on
        return cast(Tensor, nn.functional.relu(x, inplace=True).mean((2, 3))[:, :2] * self.scale)


FEATURES = torch.tensor([[[[1.0, -2.0], [3.0, 0.0]], [[0.0, 4.0], [-1.0, 2.0]]]])


def test_values_are_not_stretched() -> None:
    # gradient 3 / 4 where the ReLU is open, at two of four: its mean is 3 / 8, times 1, -2, 3, 0
    found = raw_maps(Head(), FEATURES, [0], "gradcam")
    np.testing.assert_allclose(found[0], [[0.375, 0.0], [1.125, 0.0]])


def test_each_copy_of_a_picture_has_its_own_label() -> None:
    both = raw_maps(Head(), FEATURES.expand(2, -1, -1, -1), [0, 1], "hirescam")
    np.testing.assert_allclose(both[0], [[0.75, 0.0], [2.25, 0.0]])  # 3 / 4 * value
    np.testing.assert_allclose(both[1], [[0.0, 5.0], [0.0, 2.5]])  # 5 / 4 * value


def test_a_picture_without_a_target_is_an_error_not_dropped() -> None:
    with pytest.raises(ValueError, match="2 images, but 1 targets"):
        raw_maps(Head(), FEATURES.expand(2, -1, -1, -1), [0], "gradcam")


@pytest.mark.parametrize("method", CLASSES)
def test_an_activation_in_place_does_not_change_what_is_explained(method: str) -> None:
    before = FEATURES.clone()
    raw_maps(Head(), FEATURES, [0], method)
    assert torch.equal(FEATURES, before)


def test_an_index_error_comes_through_and_nothing_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = Head(broken=True)
    with pytest.raises(IndexError, match="out of range"):
        raw_maps(model, FEATURES, [0], "gradcam")
    assert capsys.readouterr() == ("", "")
    assert not any(module._forward_hooks for module in model.modules())
    assert model.scale.requires_grad


def test_a_model_in_training_is_given_back_as_it_was() -> None:
    model = Head().train()
    model.scale.grad = kept = torch.tensor([7.0, 8.0])
    raw_maps(model, FEATURES, [1], "gradcam")
    assert model.scale.grad is kept
    assert kept.tolist() == [7.0, 8.0]
    assert model.scale.requires_grad
    assert model.training


@pytest.mark.parametrize("method", CLASSES)
def test_works_in_inference_mode(tiny_bundle: Path, method: str) -> None:
    predictor = Predictor.load(tiny_bundle, device="cpu")
    with torch.inference_mode():
        inside = explain(predictor, noise(), LABELS, method=method)
    outside = explain(predictor, noise(), LABELS, method=method)
    for label in LABELS:
        assert np.array_equal(inside.maps[label], outside.maps[label])


def test_parameters_are_frozen_and_maps_come_all_the_same(tiny_bundle: Path) -> None:
    predictor = Predictor.load(tiny_bundle, device="cpu")
    assert not any(one.requires_grad for one in predictor.bundle.models[0].parameters())
    assert any(values.any() for values in explain(predictor, noise(), LABELS).maps.values())


def test_a_compiled_model_is_explained_like_the_model(tiny_bundle: Path) -> None:
    predictor = Predictor.load(tiny_bundle, device="cpu")
    plain = explain(predictor, noise(), ["any"]).maps["any"]
    compiled = torch.compile(predictor.bundle.models[0], backend="eager")
    object.__setattr__(predictor.bundle, "models", (compiled,))
    np.testing.assert_allclose(explain(predictor, noise(), ["any"]).maps["any"], plain, atol=1e-6)


def test_eigencam_is_the_packages_own_up_to_its_cost_and_sign() -> None:
    features = np.random.default_rng(0).normal(size=(3, 40, 5, 4)).astype(np.float32)
    expected = np.maximum(get_2d_projection_with_sign_correction(features), 0)
    found = raw_maps(Head(), torch.from_numpy(features), [0, 0, 0], "eigencam")
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_eigencam_ignores_the_label_except_for_its_probability(tiny_bundle: Path) -> None:
    assert frozenset({"eigencam"}) == CLASS_AGNOSTIC
    found = explain(Predictor.load(tiny_bundle, device="cpu"), noise(), LABELS, method="eigencam")
    first = found.maps["any"] / found.probabilities[0]
    assert first.any()
    for label, p in zip(LABELS, found.probabilities, strict=True):
        np.testing.assert_allclose(found.maps[label] / p, first, atol=1e-5)


@pytest.mark.parametrize("method", ["gradcam", "eigencam"])
def test_a_batch_is_as_its_slices_alone(tiny_bundle: Path, method: str) -> None:
    predictor = Predictor.load(tiny_bundle, device="cpu")
    slices = [noise(1), noise(2, (120, 70)), noise(3)]
    together = explain_batch(predictor, slices, method=method)
    assert [one.ct for one in together] == slices
    for one in together:
        alone = explain(predictor, one.ct, method=method)
        assert one.probabilities == alone.probabilities
        assert tuple(one.maps) == tuple(alone.maps)
        for label, values in alone.maps.items():
            np.testing.assert_allclose(one.maps[label], values, atol=1e-5)


def test_one_backward_pass_serves_the_whole_batch(
    tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    backward = Tensor.backward
    monkeypatch.setattr(
        Tensor, "backward", lambda self, *a, **k: (calls.append(1), backward(self, *a, **k))[1]
    )
    explain_batch(Predictor.load(tiny_bundle, device="cpu"), [noise(1), noise(2)], LABELS)
    assert len(calls) == 1
