"""Initial weights of a training from the Hub, with real HTTP and the real clients."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save

from ich_cli.core.bundle import load_bundle
from ich_cli.core.errors import BundleError, HubError, IchError
from ich_cli.core.model import resolve_architecture
from ich_cli.core.train import TrainConfig
from ich_cli.core.train.setup import build_initial_model
from tests.hub.conftest import bundle_files
from tests.hub.server import Hub


def config(model: str, init: str) -> TrainConfig:
    return TrainConfig(model=model, init=init)


def test_a_training_starts_from_a_bundle_on_the_hub(hub: Hub, tiny_bundle: Path) -> None:
    commit = hub.publish("owner/name", bundle_files(tiny_bundle))
    hub.model("owner/name").tags["v1"] = commit
    kept = load_bundle(tiny_bundle)
    output: list[str] = []
    channels = kept.config.preprocess.channels
    start = build_initial_model(
        config(kept.config.architecture, "owner/name@v1"), channels, output.append
    )
    assert start.origin == f"owner/name@{commit}"
    assert output == [f"started from the bundle owner/name@{commit}: classifier kept"]
    for key, value in kept.models[0].state_dict().items():
        assert torch.equal(start.model.state_dict()[key], value), key
    with pytest.raises(BundleError, match=rf"owner/name@{commit}: a bundle of .*, not resnet18"):
        build_initial_model(config("resnet18", "owner/name@v1"), channels)


def test_a_missing_repository_is_one_line(hub: Hub) -> None:
    with pytest.raises(HubError, match="owner/nothing"):
        build_initial_model(config("test_resnet", "owner/nothing"), 3)


def test_pretrained_weights_come_from_the_hub(hub: Hub) -> None:
    published = timm.create_model("test_resnet.r160_in1k", num_classes=1000)
    weights = save(published.state_dict(), metadata={"format": "pt"})
    hub.publish("timm/test_resnet.r160_in1k", {"model.safetensors": weights})
    start = build_initial_model(config("test_resnet", "imagenet"), 3)
    assert start.origin == "timm/test_resnet.r160_in1k"
    ours = start.model.state_dict()
    for key, value in published.state_dict().items():
        if not key.startswith("fc."):
            assert torch.equal(ours[key], value), key
    assert ours["fc.weight"].shape[0] == 6


def test_offline_the_error_names_the_alternatives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(IchError, match="--init FILE, or from random weights with --init none"):
        build_initial_model(config("test_resnet", "imagenet"), 3)


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("seresnet50", "timm/seresnet50.a1_in1k"),
        ("resnext50", "timm/resnext50_32x4d.a1h_in1k"),
        ("resnet18", "timm/resnet18.a1_in1k"),
    ],
)
def test_short_names_have_published_weights(name: str, repository: str) -> None:
    about = timm.get_pretrained_cfg(resolve_architecture(name))
    assert about is not None
    assert about.hf_hub_id == repository
