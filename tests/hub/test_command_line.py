"""``ich push`` and ``ich pull`` on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ich_cli.main import app
from tests.hub.conftest import bundle_files, client_environment
from tests.hub.server import Hub

ROOT = Path(__file__).resolve().parents[2]
REPO = "owner/name"
Ich = Callable[..., Result]


@pytest.fixture
def ich(monkeypatch: pytest.MonkeyPatch) -> Ich:
    monkeypatch.delenv("ICH_WEIGHTS", raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    return lambda *words: CliRunner().invoke(app, [*map(str, words)], prog_name="ich")


def process(environment: dict[str, str], *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run ``ich`` in a process, so that the client reads its environment."""
    command = [sys.executable, "-m", "ich_cli", *map(str, words)]
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_push_pull_and_offline_use(hub: Hub, tiny_bundle: Path, tmp_path: Path) -> None:
    there = client_environment(hub, tmp_path / "there")
    pushed = process(there, "push", tiny_bundle, REPO)
    assert pushed.returncode == 0, pushed.stderr
    assert pushed.stdout == f"{hub.endpoint}/{REPO}\n"
    assert f"use it: ich predict scan.dcm --weights {REPO}@v1" in pushed.stderr
    back = client_environment(hub, tmp_path / "back")
    pulled = process(back, "pull", f"{REPO}@v1")
    assert pulled.returncode == 0, pulled.stderr
    folder = Path(pulled.stdout.strip())
    assert folder.is_relative_to(tmp_path / "back" / "home")  # HF_HOME
    assert (folder / "model.safetensors").read_bytes() == (
        tiny_bundle / "model.safetensors"
    ).read_bytes()
    seen = len(hub.seen)
    offline = process({**back, "HF_HUB_OFFLINE": "1"}, "pull", f"{REPO}@v1")
    assert offline.stdout == pulled.stdout
    assert len(hub.seen) == seen


def test_a_wrong_token_is_one_line(hub: Hub, tiny_bundle: Path, tmp_path: Path) -> None:
    hub.publish(REPO, bundle_files(tiny_bundle))
    wrong = {**client_environment(hub, tmp_path), "HF_TOKEN": "hf_wrong"}
    done = process(wrong, "pull", REPO)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "ich: owner/name: the Hub rejects the token; log in with `hf auth login`, or set HF_TOKEN\n"
    )


def test_a_dry_run_needs_no_token_and_sends_no_request(
    hub: Hub, ich: Ich, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "")
    done = ich("push", tiny_bundle, REPO, "--dry-run", "--space", "owner/demo")
    assert done.exit_code == 0, done.output
    size = (tiny_bundle / "model.safetensors").stat().st_size
    for text in (
        f"{size:,}  model.safetensors",
        "config.json",
        "license: apache-2.0",
        "# Intracranial hemorrhage on head CT: test_resnet",
        "spaces/owner/demo, bytes:",
        "app.py",
        "dry run: nothing was uploaded",
    ):
        assert text in done.output, text
    assert hub.seen == []
    for_machines = json.loads(ich("push", tiny_bundle, REPO, "--dry-run", "--json").stdout)
    listed = {one["path"]: one["size"] for one in for_machines["files"][REPO]}
    assert listed["model.safetensors"] == size
    assert sorted(listed) == ["README.md", "config.json", "model.safetensors"]
    assert for_machines["card"].startswith("---\n")
    assert for_machines["training"]["real_ct"] is False


def test_a_bundle_and_its_space(hub: Hub, ich: Ich, tiny_bundle: Path) -> None:
    done = ich("push", tiny_bundle, REPO, "--space", "owner/demo", "--private", "--json")
    assert done.exit_code == 0, done.output
    output = json.loads(done.stdout)
    assert output["model"]["commit"] == hub.model(REPO).head.oid
    assert output["model"]["tag"] == "v1"
    space = hub.repositories["space", "owner/demo"]
    assert space.variables == {"ICH_WEIGHTS": f"{REPO}@{output['model']['commit']}"}
    assert space.private
    assert "set a secret HF_TOKEN" in done.stderr


def test_a_space_alone_shows_the_bundle_with_its_name(
    hub: Hub, ich: Ich, tiny_bundle: Path
) -> None:
    refused = ich("push", "--space", REPO)
    assert refused.exit_code == 1
    assert "owner/name: not found on the Hub" in refused.stderr
    assert ("space", REPO) not in hub.repositories
    commit = hub.publish(REPO, bundle_files(tiny_bundle))
    done = ich("push", "--space", REPO)
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{hub.endpoint}/spaces/{REPO}\n"
    space = hub.repositories["space", REPO]
    assert space.variables == {"ICH_WEIGHTS": f"{REPO}@{commit}"}
    assert "unchanged" in ich("push", "--space", REPO).stderr


def test_pull_as_json(hub: Hub, ich: Ich, tiny_bundle: Path) -> None:
    commit = hub.publish(REPO, bundle_files(tiny_bundle))
    done = ich("pull", REPO, "--json")
    found = json.loads(done.stdout)
    assert Path(found["folder"]).name == commit
    assert found["architecture"] == "test_resnet"
    assert "never saw a real CT" in done.stderr
    assert "Research use only" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "output"),
    [
        (["push"], 2, "give RUN and OWNER/NAME, or --space OWNER/NAME alone"),
        (["push", "."], 2, "give RUN and OWNER/NAME"),
        (["push", ".", "owner/name@v1"], 2, "owner/name@v1: a repository is owner/name"),
        (["push", ".", "name"], 2, "name: a repository is owner/name"),
        (["push", "no-such-folder", REPO], 1, "no-such-folder: neither a bundle nor a run"),
        (["pull", "name"], 1, "name: not of the form owner/name[@revision]"),
    ],
)
def test_wrong_usage_is_one_line(ich: Ich, words: list[str], code: int, output: str) -> None:
    done = ich(*words)
    assert done.exit_code == code
    assert output in done.stderr
    assert done.stderr.count("\n") == 1


def test_help_loads_neither_torch_nor_the_client() -> None:
    script = (
        "import sys; from typer.testing import CliRunner; from ich_cli.main import app\n"
        "for words in (['--help'], ['push', '--help'], ['pull', '--help']):\n"
        "    assert CliRunner().invoke(app, words).exit_code == 0\n"
        "print(sorted({'torch', 'huggingface_hub', 'gradio', 'timm', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_pull_loads_no_torch(hub: Hub, tiny_bundle: Path, tmp_path: Path) -> None:
    hub.publish(REPO, bundle_files(tiny_bundle))
    script = (
        f"import sys; from ich_cli.core.bundle.resolve import fetch; fetch({REPO!r})\n"
        "print(sorted({'torch', 'timm', 'gradio'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=client_environment(hub, tmp_path),
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "[]\n"
