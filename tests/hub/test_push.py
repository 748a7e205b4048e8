"""Publishing a run: files, removed paths, model card, tags."""

from __future__ import annotations

import json
import platform
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelCard, constants, metadata_load

from ich_cli.core.bundle import (
    BundleConfig,
    SequenceConfig,
    config_text,
    fetch,
    load_bundle,
    read_config,
    save_ensemble,
)
from ich_cli.core.errors import BundleError, DataError, HubError
from ich_cli.core.labels import LABELS
from ich_cli.core.model import SequenceModel
from ich_cli.core.publish import PushResult, Upload, collect_files, push
from tests.hub.server import READ, Hub
from tests.support.metrics import METRICS

REPO = "owner/name"
PNG = b"\x89PNG\r\n\x1a\nnot looked into"
SECRETS = ("annika7", "gpu7", "clinic", "/home", "/mnt", "C:\\", "ct-host-42")


@pytest.fixture
def run(tmp_path: Path, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a run as `ich train` writes it, with local paths in its texts."""
    monkeypatch.setattr(platform, "node", lambda: "ct-host-42")
    folder = tmp_path / "runs" / "first"
    shutil.copytree(tiny_bundle, folder / "bundle")
    path = folder / "bundle" / "config.json"
    config = json.loads(path.read_text())
    config["ich"]["training"] |= {
        "real_ct": True,
        "data": "CT-ICH of /mnt/annika7/scans, 20 slices (CC BY 4.0, doi 10.13026/w8q8-ky94)",
        "split": "all patients",
        "command": "ich train /home/annika7/ct-ich --init '/home/annika7/my weights/w.safetensors'"
        " --out=gpu7:/mnt/clinic/runs",
        "config": {"init": "C:\\Users\\annika7\\w.safetensors", "epochs": 6, "precision": "bf16"},
        "host": "trained on ct-host-42 by annika7@clinic.example.org",
        "versions": {"python": "3.11.7", "torch": "2.15.0"},
    }
    config["ich"]["metrics"] = METRICS
    path.write_text(config_text(config))
    report = {"slice": {"intervals": {"any.auroc": [0.81, 0.95]}}, "from": "/home/annika7/x.csv"}
    (folder / "metrics.json").write_text(json.dumps(report))
    for name in ("run.json", "oof.csv", "log.txt", "all/checkpoints/state.safetensors",
                 "figures/calibration.png", "figures/top_errors.png",
                 "figures/roc.svg"):  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(PNG if name.endswith("png") else b"/home/annika7")
    return folder


def by_path(files: tuple[Upload, ...]) -> dict[str, bytes]:
    return {
        one.path: one.content if isinstance(one.content, bytes) else one.content.read_bytes()
        for one in files
    }


def test_published_files(run: Path) -> None:
    files = by_path(collect_files(run, REPO).files)
    assert sorted(files) == [
        "README.md", "config.json", "figures/calibration.png", "metrics.json", "model.safetensors",
    ]  # fmt: skip
    assert collect_files(run / "bundle", REPO).files[0].path == "README.md"
    assert (
        by_path(collect_files(run / "bundle", REPO).files) == files
    )  # the run is found from there too


def test_paths_users_and_hosts_are_removed(run: Path) -> None:
    for path, data in by_path(collect_files(run, REPO).files).items():
        if not path.endswith((".safetensors", ".png")):
            found = [one for one in SECRETS if one in data.decode()]
            assert not found, f"{path} contains {found}"
    training = collect_files(run, REPO).config.training
    assert training["command"] == "ich train ct-ich --init w.safetensors --out=runs"
    assert training["config"] == {"init": "w.safetensors", "epochs": 6, "precision": "bf16"}
    assert training["host"] == "trained on … by …"
    assert training["data"] == "CT-ICH of scans, 20 slices (CC BY 4.0, doi 10.13026/w8q8-ky94)"


def test_a_link_out_of_the_run_is_not_published(run: Path, tmp_path: Path) -> None:
    (tmp_path / "private.png").write_bytes(PNG)
    (run / "figures" / "roc.png").symlink_to(tmp_path / "private.png")
    assert "figures/roc.png" not in by_path(collect_files(run, REPO).files)


def test_weights_are_published_unchanged_and_match_the_config(run: Path, hub: Hub) -> None:
    push(collect_files(run, REPO).files, REPO)
    there = load_bundle(fetch(REPO))
    assert there.config.sha256 == read_config(run / "bundle").sha256
    assert there.config.thresholds == read_config(run / "bundle").thresholds
    assert hub.requests("POST", "/validate-yaml")


def test_the_card(run: Path, tmp_path: Path) -> None:
    card = collect_files(run, REPO).card
    (tmp_path / "README.md").write_text(card)
    data = metadata_load(tmp_path / "README.md")
    assert data is not None
    assert (data["license"], data["library_name"]) == ("apache-2.0", "timm")
    assert data["pipeline_tag"] == "image-classification"
    assert "intracranial-hemorrhage" in data["tags"]
    result = data["model-index"][0]["results"][0]
    assert result["dataset"] == {
        "name": "CT-X", "type": "ct-x", "split": "out of fold, 5 folds by patient",
    }  # fmt: skip
    assert {"type": "roc_auc", "value": 0.9, "name": "AUROC, any"} in result["metrics"]
    results = ModelCard(card).data.eval_results
    assert results is not None
    assert len(results) == len(LABELS) * 5  # specificity and Brier are not known here
    for text in (
        "**Research use only, not a medical device.**",
        "Per slice, on CT-X, out of fold, 5 folds by patient: 20 slices of 4 patients.",
        "| any | 0.900 (0.810 to 0.950) | 0.500 |",
        "![calibration, CT-X, out of fold, 5 folds by patient](figures/calibration.png)",
        "ich predict scan.dcm --weights owner/name",
        'Predictor.load("owner/name")',
        'timm.create_model("hf-hub:owner/name", pretrained=True)',
        "float32 (N, 3, 64, 64)",
        "- Carbon: not recorded",
        "- Precision: bf16",
        "Hssayeni MD et al.",
    ):
        assert text in card, text


def test_card_of_the_shipped_bundle(hub: Hub) -> None:
    from ich_cli.core.bundle.resolve import default_bundle

    whole = collect_files(default_bundle(), REPO)
    ModelCard(whole.card).validate()  # the client's own validation, through the Hub
    with pytest.raises(ValueError, match="license"):
        ModelCard(whole.card.replace("license: apache-2.0", "license: none-such")).validate()
    results = ModelCard(whole.card).data.eval_results
    assert results is not None
    assert {one.dataset_name for one in results} == {"CT-ICH"}
    assert "../" not in whole.card
    assert "{{" not in whole.card


def test_a_custom_template(run: Path) -> None:
    (run / "model_card.md").write_text("---\n{{ card_data }}\n---\nOurs: {{ data }}")
    data = "CT-ICH of scans, 20 slices (CC BY 4.0, doi 10.13026/w8q8-ky94)"
    assert collect_files(run, REPO).card.endswith(f"---\nOurs: {data}\n")
    (run / "model_card.md").write_text("{% for %}")
    with pytest.raises(BundleError, match="template is invalid"):
        collect_files(run, REPO)


def test_an_edited_card_is_reported(run: Path) -> None:
    (run / "bundle" / "README.md").write_text("my own words")
    assert (
        "is not published: the card is rendered from model_card.md"
        in collect_files(run, REPO).notes[0]
    )


def test_errors_before_publishing(run: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="neither a bundle nor a run"):
        collect_files(tmp_path, REPO)
    (run / "metrics.json").write_text("{")
    with pytest.raises(DataError, match=r"metrics\.json: not JSON"):
        collect_files(run, REPO)
    (run / "bundle" / "model.safetensors").write_bytes(b"\x80\x04 a pickle")
    with pytest.raises(BundleError, match="is a pickle"):
        collect_files(run, REPO)
    shutil.rmtree(run / "bundle")
    with pytest.raises(BundleError, match="finish it with `ich train … --refit`"):
        collect_files(run, REPO)


def publish(run: Path, **options: Any) -> PushResult:
    return push(collect_files(run, REPO, license=options.pop("license", "apache-2.0")).files, REPO,
                **options)  # fmt: skip


def test_one_commit_with_a_tag_and_no_second_commit(run: Path, hub: Hub) -> None:
    first = publish(run, message="Our first")
    repository = hub.model(REPO)
    assert [one.message for one in repository.commits.values()] == ["initial commit", "Our first"]
    assert (first.commit, first.tag, len(first.changed)) == (repository.head.oid, "v1", 5)
    assert not repository.private
    again = publish(run)
    assert (again.commit, again.tag, again.changed) == (first.commit, "v1", ())
    assert len(hub.requests("POST", "/commit/")) == len(hub.requests("PUT", "/upload/")) - 1 == 1
    assert repository.tags == {"v1": first.commit}


def test_changed_files_are_uploaded_and_stale_ones_deleted(run: Path, hub: Hub) -> None:
    publish(run)
    hub.publish(REPO, {"LICENSE": b"theirs", "notes.md": b"theirs"})
    (run / "figures" / "calibration.png").unlink()
    second = publish(run)
    assert sorted(second.changed) == ["README.md", "figures/calibration.png"]
    assert sorted(hub.model(REPO).head.files) == [
        ".gitattributes", "LICENSE", "README.md", "config.json", "metrics.json",
        "model.safetensors", "notes.md",
    ]  # fmt: skip
    assert second.tag == "v2"
    assert len(hub.requests("PUT", "/upload/")) == 2  # weights and figure, once each


def test_tags(run: Path, hub: Hub) -> None:
    assert publish(run, tag="paper").tag == "paper"
    assert publish(run).tag == "paper"  # this version has one
    assert publish(run, tag="release-1").tag == "release-1"
    with pytest.raises(HubError, match=r"the tag paper already refers to \w{12}; choose another"):
        publish(run, tag="paper", license="mit")
    assert len(hub.model(REPO).commits) == 2
    assert publish(run, license="mit").tag == "v1"


def test_a_tag_created_in_the_meantime(run: Path, hub: Hub) -> None:
    def take() -> None:
        hub.model(REPO).tags["v1"] = hub.model(REPO).head.oid

    hub.fault("POST", "/commit/", before=take)
    assert publish(run).tag == "v2"


def test_a_branch(run: Path, hub: Hub) -> None:
    done = publish(run, branch="dev")
    assert hub.model(REPO).branches["dev"] == done.commit
    assert sorted(hub.model(REPO).head.files) == [".gitattributes"]
    assert (done.tag, hub.model(REPO).tags) == ("", {})
    assert load_bundle(fetch(f"{REPO}@dev")).config.sha256


def test_private(run: Path, hub: Hub) -> None:
    assert publish(run, private=True).private
    assert hub.model(REPO).private
    assert publish(run, private=True).changed == ()
    hub.model(REPO).private = False
    with pytest.raises(HubError, match="owner/name: is public; make it private"):
        publish(run, private=True, license="mit")
    assert len(hub.model(REPO).commits) == 2


@pytest.mark.parametrize(
    ("token", "output"),
    [
        ("", "publishing needs a token with write access: run `hf auth login`, or set HF_TOKEN"),
        ("hf_wrong", "owner/name: the Hub rejects the token"),
        (READ, "owner/name: permission denied: the token needs write access"),
    ],
)
def test_tokens(
    run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, token: str, output: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError, match=output):
        publish(run)
    assert hub.repositories == {}


def test_offline(run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="cannot publish while HF_HUB_OFFLINE is set"):
        publish(run)
    assert hub.seen == []


def test_a_card_rejected_by_the_hub(run: Path, hub: Hub) -> None:
    with pytest.raises(HubError, match='the Hub rejects the model card: "license" must be one of'):
        publish(run, license="no-such-licence")
    assert len(hub.model(REPO).commits) == 1


def test_an_ensemble_with_its_subfolders(tiny_bundle: Path, tmp_path: Path, hub: Hub) -> None:
    training = {"real_ct": False, "data": "nothing: random numbers"}
    save_ensemble(tmp_path / "both", [tiny_bundle] * 2, BundleConfig("ensemble", training))
    whole = collect_files(tmp_path / "both", REPO)
    assert sorted(by_path(whole.files)) == [
        f"{below}{name}" for below in ("0/", "1/") for name in
        ("README.md", "config.json", "model.safetensors")
    ] + ["README.md", "config.json"]  # fmt: skip
    assert "It is an ensemble of 2 members" in whole.card
    assert "timm.create_model" not in whole.card
    push(whole.files, REPO)
    assert len(load_bundle(fetch(REPO)).models) == 2
    save_ensemble(tmp_path / "one", [tiny_bundle], BundleConfig("ensemble", training))
    push(collect_files(tmp_path / "one", REPO).files, REPO)
    assert "1/model.safetensors" not in hub.model(REPO).head.files


def test_an_ensemble_with_a_second_stage(tiny_bundle: Path, tmp_path: Path, hub: Hub) -> None:
    training = {"real_ct": False, "data": "nothing: random numbers"}
    config = BundleConfig("ensemble", training, sequence=SequenceConfig("smooth"))
    stage = SequenceModel("smooth")
    save_ensemble(tmp_path / "both", [tiny_bundle] * 2, config, sequence=stage)
    push(collect_files(tmp_path / "both", REPO).files, REPO)
    fetched = load_bundle(fetch(REPO))
    assert fetched.sequence is not None
    assert torch.equal(fetched.sequence.taps, stage.taps)
    save_ensemble(tmp_path / "one", [tiny_bundle], BundleConfig("ensemble", training))
    push(collect_files(tmp_path / "one", REPO).files, REPO)
    assert "sequence.safetensors" not in hub.model(REPO).head.files


def test_an_ensemble_with_pinned_members(
    run: Path, tiny_bundle: Path, tmp_path: Path, hub: Hub
) -> None:
    member = publish(run)
    training = {"real_ct": False, "data": "nothing: random numbers"}
    save_ensemble(tmp_path / "e", [f"{REPO}@v1", tiny_bundle], BundleConfig("ensemble", training))
    push(collect_files(tmp_path / "e", "owner/e").files, "owner/e")
    config = json.loads(hub.model("owner/e").head.files["config.json"].data)
    assert config["ich"]["members"] == [f"{REPO}@{member.commit}", "1"]
    assert "0/config.json" not in hub.model("owner/e").head.files
    assert len(load_bundle(fetch("owner/e@v1")).models) == 2
