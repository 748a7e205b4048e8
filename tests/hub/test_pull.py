"""Downloads from the Hub into the cache, with real HTTP and the real client."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from huggingface_hub import constants

from ich_cli.core.bundle import (
    BundleConfig,
    fetch,
    load_bundle,
    pin,
    resolve_weights,
    save_ensemble,
)
from ich_cli.core.errors import BundleError, HubError
from tests.hub.conftest import bundle_files
from tests.hub.server import READ, Hub

REPO = "owner/name"


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def names_in(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_a_pulled_bundle_works_offline(
    hub: Hub, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.publish(REPO, bundle_files(tiny_bundle))
    hub.model(REPO).tags["v1"] = commit
    folder = fetch(f"{REPO}@v1")
    assert folder.name == commit
    assert load_bundle(folder).config == load_bundle(tiny_bundle).config
    go_offline(monkeypatch)
    before = len(hub.seen)
    for form in (f"{REPO}@v1", f"{REPO}@{commit}"):
        assert resolve_weights(form) == folder
    assert len(hub.seen) == before
    with pytest.raises(HubError, match=r"owner/name@v2: not in the cache.*HF_HUB_OFFLINE"):
        fetch(f"{REPO}@v2")


def test_a_cached_commit_needs_no_request(hub: Hub, tiny_bundle: Path) -> None:
    commit = hub.publish(REPO, bundle_files(tiny_bundle))
    fetch(REPO)
    before = len(hub.seen)
    fetch(f"{REPO}@{commit}")
    assert len(hub.seen) == before


def test_a_branch_is_updated_and_a_commit_is_fixed(hub: Hub, tiny_bundle: Path) -> None:
    first = hub.publish(REPO, bundle_files(tiny_bundle))
    assert fetch(REPO).name == first
    second = hub.publish(REPO, {"README.md": b"other words"})
    assert fetch(REPO).name == second
    assert fetch(f"{REPO}@{first}").name == first
    assert pin(REPO) == f"{REPO}@{second}"
    assert len(hub.requests("GET", "/storage/")) == 1  # the weights are the same


def test_only_needed_files_are_downloaded_and_no_pickle(hub: Hub, tiny_bundle: Path) -> None:
    extra = dict.fromkeys(
        ("pytorch_model.bin", "x.pt", "optimizer.pkl", "figures/roc.png", "0/model.safetensors"),
        b"\x80\x04never",
    )
    hub.publish(REPO, {**bundle_files(tiny_bundle), **extra})
    folder = fetch(REPO)
    assert names_in(folder) == ["README.md", "config.json", "model.safetensors"]
    got = {one.path.rpartition("/")[2] for one in hub.seen if "resolve" in one.path}
    assert got == {"README.md", "config.json", "model.safetensors"}


def test_a_card_may_be_missing(hub: Hub, tiny_bundle: Path) -> None:
    files = bundle_files(tiny_bundle)
    del files["README.md"]
    hub.publish(REPO, files)
    assert names_in(fetch(REPO)) == ["config.json", "model.safetensors"]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (None, "has no config.json, so it is not a bundle"),
        (b'{"architectures": ["BertModel"]}', "neither a bundle config of ich nor a timm config"),
        (b'{"architecture": "resnet18", "num_classes": 1000}', "without the 6 labels"),
        (b"[]", "config.json must be an object"),
        (b"{", "config.json: not JSON"),
        (b'{"ich": {"format": 3}}', "this version reads formats 1 and 2"),
    ],
)
def test_other_repositories_are_refused_before_any_weights(
    hub: Hub, config: bytes | None, expected: str
) -> None:
    files = {"model.safetensors": b"weights", "pytorch_model.bin": b"\x80\x04never"}
    hub.publish(REPO, {**files, "config.json": config} if config is not None else files)
    with pytest.raises(HubError, match=rf"owner/name: .*{expected}") as raised:
        fetch(REPO)
    assert "snapshots" not in str(raised.value)  # the cache folder is of no use to the user
    assert not hub.requests("GET", "safetensors|storage|bin")
    assert not hub.requests("HEAD", "safetensors|bin")


def test_pickles_alone_are_refused(hub: Hub, tiny_bundle: Path) -> None:
    hub.publish(
        REPO,
        {"config.json": (tiny_bundle / "config.json").read_bytes(), "pytorch_model.bin": b"\x80"},
    )
    with pytest.raises(
        HubError, match=r"has no model\.safetensors; ich reads no other weights format"
    ):
        fetch(REPO)
    assert not [one for one in hub.seen if one.path.endswith(".bin")]


def test_weights_with_another_checksum_are_deleted(hub: Hub, tiny_bundle: Path) -> None:
    other = b"x" * 1000
    hub.publish(REPO, {**bundle_files(tiny_bundle), "model.safetensors": other})
    with pytest.raises(
        HubError, match=r"the checksum of model\.safetensors is not that of its config"
    ):
        fetch(REPO)
    cache = Path(constants.HF_HUB_CACHE)
    assert not [p for p in cache.rglob("*") if p.is_file() and p.stat().st_size == len(other)]


@pytest.mark.parametrize(
    ("settings", "token", "expected"),
    [
        ({"private": True}, "", "not found on the Hub, or no access.*HF_TOKEN"),
        ({"gated": True}, "", "gated: request access on its page"),
        ({"gated": True}, READ, "gated: request access on its page"),
        ({}, "hf_wrong", "the Hub rejects the token"),
    ],
)
def test_without_access_the_error_says_what_to_do(
    hub: Hub,
    tiny_bundle: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, bool],
    token: str,
    expected: str,
) -> None:
    hub.publish(REPO, bundle_files(tiny_bundle), **settings)
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError, match=rf"owner/name: .*{expected}"):
        fetch(REPO)


def test_a_token_gives_access_and_is_sent_to_the_hub_only(hub: Hub, tiny_bundle: Path) -> None:
    hub.publish(REPO, bundle_files(tiny_bundle), private=True)
    load_bundle(fetch(REPO))
    assert {one.token for one in hub.requests("GET", "/resolve/")} == {"hf_write"}
    assert {one.token for one in hub.requests("GET", "/storage/")} == {None}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("owner/nothing", "not found on the Hub"),
        (f"{REPO}@v9", "revision not found; check the part after the @"),
        (f"{REPO}@{'0' * 40}", "revision not found"),
        (f"{REPO}:rsna", "a bundle has its own input settings; drop :rsna"),
    ],
)
def test_unknown_names_and_revisions(hub: Hub, tiny_bundle: Path, name: str, expected: str) -> None:
    hub.publish(REPO, bundle_files(tiny_bundle))
    with pytest.raises(HubError, match=rf"{name}: .*{expected}"):
        fetch(name)


def ensemble(folder: Path, members: list[Path | str]) -> Path:
    config = BundleConfig("ensemble", {"real_ct": False, "data": "nothing: random numbers"})
    save_ensemble(folder, members, config)
    return folder


def test_an_ensemble_is_downloaded_with_its_subfolders(
    hub: Hub, tiny_bundle: Path, tmp_path: Path
) -> None:
    both = ensemble(tmp_path / "both", [tiny_bundle, tiny_bundle])
    hub.publish("owner/both", bundle_files(both))
    assert len(load_bundle(fetch("owner/both")).models) == 2


def test_an_ensemble_is_downloaded_with_its_pinned_members(
    hub: Hub, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = hub.publish(REPO, bundle_files(tiny_bundle))
    both = ensemble(tmp_path / "both", [REPO, tiny_bundle])
    assert json.loads((both / "config.json").read_text())["ich"]["members"] == [
        f"{REPO}@{commit}", "1",
    ]  # fmt: skip
    hub.publish("owner/both", bundle_files(both))
    folder = fetch("owner/both")
    go_offline(monkeypatch)
    assert len(load_bundle(folder).models) == 2


def test_an_ensemble_with_a_member_outside_is_refused(
    hub: Hub, tiny_bundle: Path, tmp_path: Path
) -> None:
    files = bundle_files(ensemble(tmp_path / "one", [tiny_bundle]))
    config = json.loads(files["config.json"])
    config["ich"]["members"] = ["../../other"]
    hub.publish("owner/evil", {**files, "config.json": json.dumps(config).encode()})
    with pytest.raises(HubError, match=r"'\.\./\.\./other' is neither a subfolder nor"):
        fetch("owner/evil")
    assert not [one for one in hub.seen if ".." in one.path]


def plain_timm(tiny_bundle: Path) -> dict[str, bytes]:
    config = json.loads((tiny_bundle / "config.json").read_text())
    del config["ich"]
    return {
        "config.json": json.dumps(config).encode(),
        "model.safetensors": (tiny_bundle / "model.safetensors").read_bytes(),
    }


def test_a_plain_timm_classifier_with_a_stated_preset(
    hub: Hub, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ich_cli.core.predict import Predictor

    commit = hub.publish(REPO, plain_timm(tiny_bundle))
    with pytest.raises(HubError, match="append :rsna or :dlmi"):
        fetch(REPO)
    assert not hub.requests("GET", "/storage/")
    predictor = Predictor.load(f"{REPO}:rsna", device="cpu")
    assert predictor.preprocess == Predictor.load(tiny_bundle, device="cpu").preprocess
    assert f"not stated by {REPO}@{commit}" in predictor.caveat
    pixels = np.random.default_rng(0).integers(0, 256, (2, 3, 64, 64), dtype=np.uint8)
    ours = Predictor.load(tiny_bundle, device="cpu").probabilities(pixels)
    np.testing.assert_array_equal(predictor.probabilities(pixels), ours)
    go_offline(monkeypatch)
    dlmi = Predictor.load(f"{REPO}@{commit}:dlmi", device="cpu")
    assert dlmi.preprocess[0].preset == "dlmi"


def test_a_plain_classifier_with_other_channels_is_refused(hub: Hub, tiny_bundle: Path) -> None:
    files = plain_timm(tiny_bundle)
    config = json.loads(files["config.json"])
    config["pretrained_cfg"]["input_size"] = [9, 64, 64]
    hub.publish(REPO, {**files, "config.json": json.dumps(config).encode()})
    with pytest.raises(HubError, match="preset rsna gives squares with 3 channels"):
        fetch(f"{REPO}:rsna")


def test_timm_and_snapshot_download_read_the_bundle(hub: Hub, tiny_bundle: Path) -> None:
    import timm
    import torch
    from huggingface_hub import snapshot_download

    hub.publish(REPO, bundle_files(tiny_bundle))
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    models = [
        load_bundle(fetch(REPO)).models[0],
        timm.create_model(f"hf-hub:{REPO}", pretrained=True).eval(),
        load_bundle(Path(snapshot_download(REPO))).models[0],
    ]
    with torch.inference_mode():
        ours, timms, snapshots = [model(pixels) for model in models]
    assert torch.equal(ours, timms)
    assert torch.equal(ours, snapshots)


def test_a_missing_member_is_named(
    hub: Hub, tiny_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.publish(REPO, bundle_files(tiny_bundle))
    both = ensemble(tmp_path / "both", [REPO])
    del hub.repositories["model", REPO]
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "another"))
    with pytest.raises(BundleError, match=r"member owner/name@\w{40}: .*not found on the Hub"):
        load_bundle(both)
