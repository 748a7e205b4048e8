from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from safetensors.torch import save_file

from ich_cli.core.bundle import BundleConfig, load_bundle, read_config, save_bundle
from ich_cli.core.dicom import CTSlice, SliceId
from ich_cli.core.errors import BundleError, IchError, UsageError
from ich_cli.core.explain import explain
from ich_cli.core.explain.maps import METHODS
from ich_cli.core.model import PatchClassifier, build_model, load_initial
from ich_cli.core.predict import Predictor
from ich_cli.core.preprocessing import PreprocessConfig
from ich_cli.core.publish.model_card import hub_card
from ich_cli.core.train.losses import PatchMaskLearner


def tiny() -> PatchClassifier:
    torch.manual_seed(0)
    return cast(PatchClassifier, build_model("test_resnet", head="patch").eval())


def test_a_slice_has_the_sum_of_its_patches_odds() -> None:
    model = tiny()
    # four patches with odds 1/4, 1/4, 1/4, 1/4: odds 1, logit 0; then one with odds 97/4: 25
    patches = torch.full((1, 6, 2, 2), math.log(1 / 4))
    assert model.pool(patches).tolist() == [[pytest.approx(0, abs=1e-6)] * 6]
    patches[0, 2, 1, 0] = math.log(97 / 4)
    with torch.no_grad():
        model.shift[5] = -3.0
    expected = [0, 0, math.log(25), 0, 0, -3]
    assert model.pool(patches)[0].tolist() == [pytest.approx(v, abs=1e-5) for v in expected]


@given(st.lists(st.floats(-30, 30), min_size=4, max_size=4), st.integers(0, 3))
def test_a_higher_patch_logit_never_lowers_the_slice_logit(logits: list[float], where: int) -> None:
    model = tiny()
    patches = torch.tensor(logits).reshape(1, 1, 2, 2).repeat(1, 6, 1, 1)
    more = patches.clone()
    more[:, :, where // 2, where % 2] += 1.0
    assert (model.pool(more) >= model.pool(patches)).all()
    assert (model.pool(patches) >= patches.flatten(2).amax(2)).all()  # one positive patch is enough


def test_patches_cover_eight_pixels_and_give_the_slice_logits() -> None:
    model = tiny()
    with torch.no_grad():
        x = torch.randn((2, 3, 64, 96))
        features = model.forward_features(x)
        assert features.shape == (2, 64, 8, 12)
        assert model.patch_logits(features).shape == (2, 6, 8, 12)
        torch.testing.assert_close(model(x), model.forward_head(features))
        logits, maps = PatchMaskLearner(model)(x)
        torch.testing.assert_close(logits, model(x))
        torch.testing.assert_close(maps[0], model.patch_logits(features))


def test_a_backbone_without_fine_features_is_refused() -> None:
    with pytest.raises(UsageError, match="--head patch needs"):
        build_model("test_vit", head="patch")


def test_a_head_of_another_name_is_refused() -> None:
    with pytest.raises(IchError, match=r"unknown head 'os\.system'; use linear or patch"):
        build_model("test_resnet", head="os.system")


def test_it_starts_from_a_file_of_the_backbone_alone(tmp_path: Path) -> None:
    backbone = build_model("test_resnet")
    save_file(backbone.state_dict(), tmp_path / "w.safetensors")
    model = tiny()
    assert load_initial(model, tmp_path / "w.safetensors").classifier == "dropped"
    for key, value in model.backbone.state_dict().items():
        torch.testing.assert_close(value, backbone.state_dict()[key])


def test_it_starts_from_a_file_of_its_own(tmp_path: Path) -> None:
    other = tiny()
    with torch.no_grad():
        other.shift.fill_(2.5)
    save_file(other.state_dict(), tmp_path / "w.safetensors")
    model = tiny()
    assert load_initial(model, tmp_path / "w.safetensors").classifier == "kept"
    assert model.shift.tolist() == [2.5] * 6


def test_a_file_that_fits_neither_is_named(tmp_path: Path) -> None:
    save_file({"backbone.conv1.weight": torch.zeros(2, 2)}, tmp_path / "w.safetensors")
    with pytest.raises(BundleError, match="does not fit the model: missing"):
        load_initial(tiny(), tmp_path / "w.safetensors")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("patch") / "bundle"
    config = BundleConfig(
        architecture="test_resnet",
        model_args={"head": "patch"},
        training={"real_ct": False, "data": "nothing"},
        preprocess=PreprocessConfig(size=64),
    )
    save_bundle(folder, tiny(), config)
    return folder


def test_a_bundle_remembers_its_head(bundle: Path) -> None:
    loaded = load_bundle(bundle)
    assert loaded.config.model_args["head"] == "patch"
    x = torch.randn((1, 3, 64, 64))
    with torch.no_grad():
        torch.testing.assert_close(loaded.models[0](x), tiny()(x), atol=1e-2, rtol=1e-2)


def test_the_earlier_name_of_the_head_is_read(bundle: Path) -> None:
    old = bundle.parent / "old"
    shutil.copytree(bundle, old)
    text = (bundle / "config.json").read_text()
    (old / "config.json").write_text(text.replace('"patch"', '"cells"'))
    assert load_bundle(old).config == load_bundle(bundle).config


def test_weights_of_another_head_do_not_pass_for_it(bundle: Path) -> None:
    config = bundle / "config.json"
    text = config.read_text().replace('"patch"', '"linear"')
    (bundle.parent / "other").mkdir()
    (bundle.parent / "other" / "config.json").write_text(text)
    for name in ("model.safetensors", "README.md"):
        (bundle.parent / "other" / name).write_bytes((bundle / name).read_bytes())
    with pytest.raises(BundleError, match="does not fit test_resnet: missing"):
        load_bundle(bundle.parent / "other")


def test_its_cards_do_not_say_that_timm_builds_it(bundle: Path) -> None:
    own = read_config(bundle)
    template = (Path(__file__).parents[3] / "model_card.md").read_text(encoding="utf-8")
    published = hub_card(own, "owner/name", template, license="apache-2.0")
    for card in ((bundle / "README.md").read_text(encoding="utf-8"), published):
        assert "library_name: ich\n" in card
        assert "timm.create_model" not in card
    assert "timm alone cannot build it" in published
    linear = replace(own, model_args={})
    assert linear.library == "timm"
    card = hub_card(linear, "owner/name", template, license="apache-2.0")
    assert "timm.create_model" in card


@pytest.mark.parametrize("method", METHODS)
def test_every_method_explains_it(bundle: Path, method: str) -> None:
    hu = np.full((96, 96), -1000, np.float32)
    hu[16:80, 16:80] = np.random.default_rng(0).normal(40, 20, (64, 64))
    predictor = Predictor.load(bundle, device="cpu")
    found = explain(predictor, CTSlice(hu, SliceId("made")), ["any", "subdural"], method=method)
    assert set(found.maps) == {"any", "subdural"}
    for one in found.maps.values():
        assert one.shape == (96, 96)
        assert 0 <= one.min() <= one.max() <= 1
