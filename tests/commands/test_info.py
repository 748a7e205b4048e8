"""Output of ``ich info``."""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ich_cli._version import __version__
from ich_cli.core.bundle import read_config, resolve as hub
from ich_cli.main import app

Info = Callable[..., Result]


@pytest.fixture
def info(monkeypatch: pytest.MonkeyPatch) -> Info:
    monkeypatch.delenv("ICH_WEIGHTS", raising=False)
    monkeypatch.setenv("COLUMNS", "120")

    def run(*arguments: str | Path) -> Result:
        return CliRunner().invoke(app, ["info", *map(str, arguments)], prog_name="ich")

    return run


def test_json(info: Info, tiny_bundle: Path) -> None:
    done = info("--json", "-w", tiny_bundle)
    assert done.exit_code == 0
    found = json.loads(done.stdout)
    assert found["versions"]["ich"] == __version__
    assert found["versions"]["python"] == platform.python_version()
    assert found["versions"]["torch"] == version("torch")
    assert found["devices"][0].startswith("cpu: ")
    bundle = found["bundle"]
    assert bundle["architecture"] == ["test_resnet"]
    assert bundle["sha256"] == read_config(tiny_bundle).sha256
    assert bundle["training"] == {"real_ct": False, "data": "nothing: random numbers"}
    assert bundle["thresholds"]["any"] == 0.5
    assert bundle["preprocess"][0]["size"] == 64


def test_engines(info: Info, tiny_bundle: Path) -> None:
    found = json.loads(info("--json", "-w", tiny_bundle).stdout)["engines"]
    assert set(found) == {"bfloat16", "torch", "openvino", "compile", "auto"}
    assert found["torch"] in ("float32", "bfloat16")
    assert found["auto"] in " ".join(info("--verbose", "-w", tiny_bundle).stdout.split())


def test_decoders_of_the_transfer_syntaxes_of_ct(info: Info, tiny_bundle: Path) -> None:
    decoders = json.loads(info("--json", "-w", tiny_bundle).stdout)["decoders"]
    for uid in ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80",
                "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5"):  # fmt: skip
        assert decoders[uid]["decoder"], decoders[uid]["name"]


def test_details(info: Info, tiny_bundle: Path) -> None:
    done = info("--verbose", "--weights", tiny_bundle)
    texts = ["Versions", __version__, "test_resnet", "nothing: random numbers"]
    texts += ["windows 40/80, 80/200", "JPEG 2000 Lossless", "Research use only"]
    for text in [*texts, read_config(tiny_bundle).sha256]:
        assert text in done.stdout, text
    assert "missing" not in done.stdout
    assert "never saw a real CT" in done.stderr


@pytest.mark.parametrize("shipped", [False, True])
def test_summary_fits_on_one_screen(
    info: Info, tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch, shipped: bool
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = info() if shipped else info("-w", tiny_bundle)
    lines = (done.stdout + done.stderr).splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines[:-1])) <= 80
    for text in (f"ich {__version__}", "all 16 transfer syntaxes", "ich info --verbose"):
        assert text in done.stdout, text
    assert done.exit_code == 0


def test_works_without_any_bundle(
    info: Info, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "_PACKAGE", tmp_path / "ich_cli")
    done = info()
    assert done.exit_code == 0
    assert "not usable" in done.stdout
    assert "no default bundle is installed" in done.stdout
    assert "all 16 transfer syntaxes" in done.stdout
    found = json.loads(info("--json").stdout)
    assert "no default bundle" in found["bundle"]["error"]


def test_a_broken_bundle_named_by_the_user_is_an_error(
    info: Info, tiny_bundle: Path, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(tiny_bundle, tmp_path / "broken"))
    (broken / "model.safetensors").unlink()
    done = info("-w", broken)
    assert done.exit_code == 1
    assert "not usable" in done.stdout
    assert done.stderr == f"ich: {broken}: no model.safetensors\n"
