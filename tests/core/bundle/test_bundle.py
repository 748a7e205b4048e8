from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from ich_cli.core.bundle import (
    BundleConfig,
    Calibration,
    load_bundle,
    read_config,
    save_bundle,
    save_ensemble,
)
from ich_cli.core.errors import BundleError, OutputError
from ich_cli.core.labels import LABELS
from ich_cli.core.model import build_model
from ich_cli.core.preprocessing import PreprocessConfig
from ich_cli.core.system import sha256_of

TRAINING = {"real_ct": True, "data": "CT of a test"}


@pytest.fixture
def bundle(tiny_bundle: Path, tmp_path: Path) -> Path:
    """Return a copy that a test may change."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "copy"))


def _change(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    values = json.loads((folder / "config.json").read_text())
    change(values)
    (folder / "config.json").write_text(json.dumps(values))


def _weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    sum_ = sha256_of(folder / "model.safetensors")
    _change(folder, lambda values: values["ich"].update(sha256=sum_))


def test_save_and_load(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = build_model("test_resnet", in_chans=9).eval()
    config = BundleConfig(
        "test_resnet",
        TRAINING,
        PreprocessConfig(size=64, context=1),
        calibration=Calibration((1.5, 1, 1, 1, 1, 2), (0.1, 0, 0, 0, 0, -3)),
        thresholds=dict.fromkeys(LABELS, 0.25),
        metrics={"auc": {"any": 0.9}},
    )
    written = save_bundle(tmp_path / "b", model, config, "# A card", "float32")
    loaded = load_bundle(tmp_path / "b")
    assert loaded.config == written == BundleConfig(**{**vars(config), "sha256": written.sha256})
    assert loaded.card == "# A card"
    x = torch.rand(2, 9, 64, 64)
    assert torch.equal(loaded.models[0](x), model(x))
    assert not list(tmp_path.glob(".b*"))  # no temporary folder is left


def test_keys_of_the_config(tiny_bundle: Path) -> None:
    values = json.loads((tiny_bundle / "config.json").read_text())
    assert values["architecture"] == "test_resnet"
    assert values["num_classes"] == 6
    assert values["label_names"] == list(LABELS)
    assert values["pretrained_cfg"]["input_size"] == [3, 64, 64]
    assert values["pretrained_cfg"]["mean"] == [0.485, 0.456, 0.406]
    assert values["ich"]["format"] == 2
    assert set(values["ich"]) == {
        "format", "preprocess", "calibration", "thresholds", "training", "metrics", "sha256",
    }  # fmt: skip


def test_half_precision_is_loaded_as_float32(tiny_bundle: Path) -> None:
    stored = load_file(tiny_bundle / "model.safetensors")
    kernels = [value for value in stored.values() if value.ndim == 4]
    assert {value.dtype for value in kernels} == {torch.float16}
    model = load_bundle(tiny_bundle).models[0]
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not model.training


@pytest.mark.parametrize("context", [0, 1])
def test_timm_loads_it_with_equal_logits(tmp_path: Path, context: int) -> None:
    torch.manual_seed(0)
    config = BundleConfig("mobilenetv2", TRAINING, PreprocessConfig(size=64, context=context))
    channels = config.preprocess.channels
    save_bundle(tmp_path / "b", build_model("mobilenetv2", in_chans=channels), config)
    ours = load_bundle(tmp_path / "b").models[0]
    theirs = timm.create_model(f"local-dir:{tmp_path / 'b'}", pretrained=True).eval()
    x = torch.rand(1, channels, 64, 64)
    assert torch.equal(ours(x), theirs(x))
    assert theirs.num_classes == 6
    assert theirs.pretrained_cfg["label_names"] == list(LABELS)
    assert len(theirs.pretrained_cfg["mean"]) == channels


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda v: v.pop("ich"), '"ich" is missing'),
        (lambda v: v["ich"].update(format=3), "reads formats 1 and 2"),
        (lambda v: v["ich"].pop("calibration"), "ich.calibration is missing"),
        (lambda v: v["ich"].update(surprise=1), "ich.surprise is unknown"),
        (lambda v: v["ich"]["preprocess"].update(zoom=2), "the key ich.preprocess.zoom is unknown"),
        (lambda v: v["ich"]["preprocess"].update(size=10**9), "size must be between"),
        (lambda v: v["ich"]["preprocess"].update(context=1), "in_chans does not fit"),
        (lambda v: v["ich"]["calibration"].update(temperature=[0] * 6), "must be positive"),
        (lambda v: v["ich"]["calibration"].update(bias=[0] * 5), "bias must have 6 finite numbers"),
        (lambda v: v["ich"]["calibration"].update(bias=["a"] * 6), "finite numbers"),
        (lambda v: v["ich"]["thresholds"].pop("any"), "one value for each"),
        (lambda v: v["ich"]["thresholds"].update(any=2), "thresholds.any must lie"),
        (lambda v: v["ich"]["training"].pop("real_ct"), "training.real_ct"),
        (lambda v: v["ich"]["training"].update(data=""), "training.data"),
        (lambda v: v.update(label_names=list(reversed(LABELS))), "label_names must be any"),
        (lambda v: v.update(num_classes=5), "num_classes must be 6"),
        (lambda v: v.update(architecture="resnet181"), "there is no model 'resnet181'"),
        (lambda v: v.update(architecture="hf-hub:a/b"), "there is no model"),
        (lambda v: v.update(architecture="resnet18"), "does not fit resnet18: missing"),
        (lambda v: v.update(architecture="eva02_enormous_patch14_clip_224"), "does not fit"),
        (lambda v: v["model_args"].update(checkpoint_path="x.pth"), "checkpoint_path"),
        (lambda v: v["model_args"].update(global_pool="no such"), "cannot be built"),
        (lambda v: v["ich"].update(sha256="0" * 64), "the checksum is not that in config.json"),
        (lambda v: v["ich"].update(members=["a"]), "ich.preprocess is unknown"),
    ],
)
def test_wrong_config_is_named(bundle: Path, change: Any, expected: str) -> None:
    _change(bundle, change)
    with pytest.raises(BundleError, match=expected) as error:
        load_bundle(bundle)
    assert "copy" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"ich": NaN}', "[" * 100_000])
def test_config_that_is_not_a_json_object(bundle: Path, text: str) -> None:
    (bundle / "config.json").write_text(text)
    with pytest.raises(
        BundleError, match=r"config\.json: (not JSON|config.json must be an object)"
    ):
        load_bundle(bundle)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda t: t.pop("fc.weight"), "missing fc.weight"),
        (lambda t: t.update(extra=torch.zeros(2)), "unexpected extra"),
        (lambda t: t.update({"fc.bias": torch.zeros(5)}), r"fc.bias is \[5\], not \[6\]"),
        (lambda t: t["fc.bias"].fill_(torch.nan), "fc.bias has values that are not finite"),
        (lambda t: t["fc.weight"].fill_(torch.inf), "fc.weight has values that are not finite"),
    ],
)
def test_wrong_weights_are_named(bundle: Path, change: Any, expected: str) -> None:
    _weights(bundle, change)
    with pytest.raises(BundleError, match=expected):
        load_bundle(bundle)


def test_missing_files(bundle: Path) -> None:
    (bundle / "model.safetensors").unlink()
    with pytest.raises(BundleError, match=r"no model\.safetensors"):
        load_bundle(bundle)
    (bundle / "config.json").unlink()
    with pytest.raises(BundleError, match="not a bundle"):
        load_bundle(bundle)
    with pytest.raises(BundleError, match="no such bundle folder"):
        load_bundle(bundle / "nowhere")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.pth"])
def test_pickles_are_refused_by_name(bundle: Path, name: str) -> None:
    (bundle / "model.safetensors").unlink()
    torch.save({"weight": torch.zeros(1)}, bundle / name)
    with pytest.raises(BundleError, match=f"{name}: refused: .*pickle"):
        load_bundle(bundle)


def test_pickle_under_the_name_of_safetensors_is_refused(bundle: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, bundle / "model.safetensors")
    with pytest.raises(BundleError, match=r"model\.safetensors: refused: .*pickle"):
        load_bundle(bundle)


def test_truncated_and_absurd_weights(bundle: Path) -> None:
    path = bundle / "model.safetensors"
    whole = path.read_bytes()
    for damaged in (b"", whole[:5], (2**62).to_bytes(8, "little") + whole[8:], whole[:-10]):
        path.write_bytes(damaged)
        _change(bundle, lambda v: v["ich"].update(sha256=sha256_of(path)))
        with pytest.raises(BundleError, match="not a valid safetensors file"):
            load_bundle(bundle)


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    model = build_model("test_resnet")
    torch.nn.init.constant_(model.get_classifier().weight, 1e6)  # type: ignore[operator]
    with pytest.raises(BundleError, match=r"fc\.weight .* not finite in float16"):
        save_bundle(tmp_path / "b", model, BundleConfig("test_resnet", TRAINING))
    assert list(tmp_path.iterdir()) == []


def test_saving_replaces_a_bundle_and_no_other_folder(bundle: Path) -> None:
    config, model = BundleConfig("test_resnet", TRAINING), build_model("test_resnet")
    save_bundle(bundle, model, config)
    assert read_config(bundle).training == TRAINING
    (bundle / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"contains other files \(notes\.txt\)"):
        save_bundle(bundle, model, config)
    assert (bundle / "notes.txt").read_text() == "mine"


def test_card_has_the_required_statements(tiny_bundle: Path) -> None:
    card = load_bundle(tiny_bundle).card
    assert "Research use only, not a medical device." in card
    assert "never saw a real CT" in card
    assert "nothing: random numbers" in card


def test_save_and_load_an_ensemble(tiny_bundle: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    other = tmp_path / "other"
    config = BundleConfig("test_resnet", TRAINING, PreprocessConfig(size=96))
    save_bundle(other, build_model("test_resnet"), config)
    both = BundleConfig("ensemble", TRAINING, thresholds=dict.fromkeys(LABELS, 0.3))
    written = save_ensemble(tmp_path / "both", [tiny_bundle, other], both)
    loaded = load_bundle(tmp_path / "both")
    assert written.members == loaded.config.members == ("0", "1")
    assert [one.preprocess.size for one in loaded.member_configs] == [64, 96]
    assert loaded.config.thresholds["any"] == 0.3
    shutil.copyfile(other / "config.json", tmp_path / "both" / "0" / "config.json")
    with pytest.raises(BundleError, match="does not match its members"):
        load_bundle(tmp_path / "both")


@pytest.mark.parametrize(
    "member", ["../other", "/etc", "a/../../b", "C:\\x", "", "owner/name@main"]
)
def test_members_stay_inside_the_folder(tiny_bundle: Path, tmp_path: Path, member: str) -> None:
    both = BundleConfig("ensemble", TRAINING)
    save_ensemble(tmp_path / "both", [tiny_bundle], both)
    _change(tmp_path / "both", lambda values: values["ich"].update(members=[member]))
    with pytest.raises(BundleError, match=r"neither a subfolder nor|no such bundle folder"):
        load_bundle(tmp_path / "both")


def test_an_ensemble_of_ensembles_is_refused(tiny_bundle: Path, tmp_path: Path) -> None:
    both = BundleConfig("ensemble", TRAINING)
    save_ensemble(tmp_path / "one", [tiny_bundle], both)
    with pytest.raises(BundleError, match="itself an ensemble"):
        save_ensemble(tmp_path / "two", [tmp_path / "one"], both)
    assert not (tmp_path / "two").exists()
