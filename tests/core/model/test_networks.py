from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file

from ich_cli.core.errors import BundleError, IchError
from ich_cli.core.model import (
    build_model,
    compare_keys,
    devices,
    load_initial,
    resolve_architecture,
    resolve_device,
    to_input,
)
from ich_cli.core.model.networks import ALIASES


def test_every_alias_is_a_model_of_timm() -> None:
    assert resolve_architecture("resnext50") == "resnext50_32x4d"
    assert all(resolve_architecture(alias) == name for alias, name in ALIASES.items())


@pytest.mark.parametrize(
    ("name", "hint"),
    [("resnet81", "resnet18"), ("", "try one of"), ("hf-hub:owner/name", "there is no model"),
     ("../resnet18", "there is no model"), ("local-dir:x", "there is no model")],
)  # fmt: skip
def test_unknown_names_are_refused_with_a_hint(name: str, hint: str) -> None:
    with pytest.raises(IchError, match=hint):
        build_model(name)


@pytest.mark.parametrize("setting", ["checkpoint_path", "pretrained_cfg", "scriptable"])
def test_settings_that_could_load_files_are_refused(setting: str) -> None:
    with pytest.raises(IchError, match=setting):
        build_model("test_resnet", **{setting: "x"})


def test_model_maps_channels_to_six_logits() -> None:
    model = build_model("test_resnet", in_chans=9).eval()
    assert model(torch.zeros(2, 9, 64, 64)).shape == (2, 6)


def test_pretrained_weights_offline_say_what_to_do() -> None:
    with pytest.raises(IchError, match=r"pretrained weights of .* cannot be loaded .*--init"):
        build_model("test_resnet.r160_in1k", pretrained=True)


def _torchvision_file(path: Path, classes: int = 7) -> torch.nn.Module:
    torch.manual_seed(1)
    model = torchvision.models.mobilenet_v2(num_classes=classes).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, std=0.1)  # type: ignore[arg-type]
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    save_file(model.state_dict(), path)
    return model


def test_torchvision_mobilenetv2_gives_the_same_logits(tmp_path: Path) -> None:
    theirs = _torchvision_file(tmp_path / "tv.safetensors")
    ours = build_model("mobilenetv2", num_classes=7)
    report = load_initial(ours, tmp_path / "tv.safetensors")
    assert (report.layout, report.classifier, report.stem) == ("torchvision", "kept", "kept")
    assert not report.folded_batch_norms
    x = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), theirs(x), rtol=1e-4, atol=1e-6)


def test_shared_imagenet_weights_give_the_same_logits(shared_data: Path) -> None:
    path = shared_data / "weights" / "mobilenet_v2_imagenet1001.safetensors"
    from safetensors.torch import load_file

    theirs = torchvision.models.mobilenet_v2(num_classes=1001).eval()
    theirs.load_state_dict(load_file(path))
    ours = build_model("mobilenetv2", num_classes=1001)
    report = load_initial(ours, path)
    assert report.folded_batch_norms
    torch.manual_seed(0)
    x = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        expected, got = theirs(x), ours.eval()(x)
    assert (expected.argmax(1) == got.argmax(1)).all()
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)


def test_classifier_of_another_size_is_dropped(tmp_path: Path) -> None:
    _torchvision_file(tmp_path / "tv.safetensors")
    model = build_model("mobilenetv2")
    before = model.get_classifier().weight.clone()  # type: ignore[operator]
    assert load_initial(model, tmp_path / "tv.safetensors").classifier == "dropped"
    assert torch.equal(model.get_classifier().weight, before)  # type: ignore[operator]


def test_a_stem_with_neighbours_begins_by_looking_at_the_slice_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    single = build_model("test_resnet").eval()
    save_file(single.state_dict(), tmp_path / "one.safetensors")
    triple = build_model("test_resnet", in_chans=9).eval()
    report = load_initial(triple, tmp_path / "one.safetensors")
    assert report.stem == "kept for the slice, 0 for its neighbours"
    x = torch.rand(1, 9, 64, 64)
    torch.testing.assert_close(triple(x), single(x[:, 3:6]), rtol=1e-4, atol=1e-5)


def test_a_stem_for_more_windows_gives_equal_outputs_for_equal_windows(tmp_path: Path) -> None:
    torch.manual_seed(0)
    three = build_model("test_resnet").eval()
    save_file(three.state_dict(), tmp_path / "one.safetensors")
    six = build_model("test_resnet", in_chans=6).eval()
    assert load_initial(six, tmp_path / "one.safetensors").stem == "3 channels spread over 6"
    x = torch.rand(1, 3, 64, 64)
    torch.testing.assert_close(six(x.repeat(1, 2, 1, 1)), three(x), rtol=1e-4, atol=1e-5)


def test_a_key_too_few_or_too_many_is_named(tmp_path: Path) -> None:
    state = build_model("test_resnet").state_dict()
    state["extra.weight"] = torch.zeros(1)
    state.pop("stem.conv1.weight", None) or state.pop("conv1.0.weight", None)
    gone = next(iter(set(build_model("test_resnet").state_dict()) - set(state)))
    save_file(state, tmp_path / "odd.safetensors")
    with pytest.raises(BundleError, match=r"unexpected extra\.weight") as error:
        load_initial(build_model("test_resnet"), tmp_path / "odd.safetensors")
    assert f"missing {gone}" in str(error.value)


def test_pickles_are_refused_by_name(tmp_path: Path) -> None:
    model = build_model("test_resnet")
    torch.save(model.state_dict(), tmp_path / "model.pth")
    torch.save(model.state_dict(), tmp_path / "hidden.safetensors")
    for name in ("model.pth", "hidden.safetensors"):
        with pytest.raises(BundleError, match=f"{name}: refused: .*pickle"):
            load_initial(model, tmp_path / name)


def test_keys_are_compared_by_name_and_shape() -> None:
    wanted = {"a": (2, 3), "b": (1,), "n.num_batches_tracked": ()}
    assert compare_keys({"a": (2, 3), "b": (1,)}, wanted) == ""
    output = compare_keys({"a": (3, 2), "c": (1,)}, wanted)
    assert output == "missing b; unexpected c; shape: a is [3, 2], not [2, 3]"


def test_to_input_repeats_the_windows_over_the_slices() -> None:
    pixels = torch.full((1, 6, 1, 1), 255, dtype=torch.uint8)
    pixels[0, 3:] = 0
    out = to_input(pixels, (0.5, 0.25, 0.0), (0.5, 0.25, 2.0))
    assert out.dtype == torch.float32
    np.testing.assert_allclose(out[0, :, 0, 0], [1, 3, 0.5, -1, -1, 0])


def test_devices() -> None:
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type in ("cpu", "cuda", "mps")
    assert devices()[0].startswith("cpu: ")
    for name in ("tpu", "cuda:x", "cuda:", "cuda:99"):
        with pytest.raises(IchError, match="device"):
            resolve_device(name)
