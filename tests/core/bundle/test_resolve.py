from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2
import pytest
from huggingface_hub import errors

from ich_cli.core import bundle
from ich_cli.core.bundle import resolve
from ich_cli.core.errors import BundleError, HubError


def _response(status: int) -> Any:
    return httpx2.Response(status, request=httpx2.Request("GET", "https://example.org/secret"))


@pytest.mark.parametrize(
    ("text", "is_id", "is_pinned"),
    [
        ("owner/name", True, False),
        ("owner/name@v1.0", True, False),
        ("owner/name@refs/pr/1", True, False),
        ("owner/name@" + "a1" * 20, True, True),
        ("name", False, False),
        ("a/b/c", False, False),
        ("../name", False, False),
        ("owner/..", False, False),
        ("https://example.org/y", False, False),
    ],
)
def test_form_of_hub_ids(text: str, is_id: bool, is_pinned: bool) -> None:
    assert bundle.is_hub_id(text) is is_id
    assert bundle.is_pinned(text) is is_pinned


def test_a_folder_takes_precedence_over_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert bundle.resolve_weights("owner/name") == Path("owner/name")


@pytest.mark.parametrize("value", ["no such folder", "a/b/c"])
def test_neither_folder_nor_hub_id(value: str) -> None:
    with pytest.raises(BundleError, match="neither a folder nor owner/name"):
        bundle.resolve_weights(value)


def test_a_file_is_not_a_bundle(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(BundleError, match="give the folder"):
        bundle.resolve_weights(tmp_path / "model.safetensors")


def test_default_bundle_is_found_in_package_or_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "_PACKAGE", tmp_path / "ich_cli")
    with pytest.raises(BundleError, match="--weights or ICH_WEIGHTS"):
        bundle.resolve_weights(None)
    for folder in (tmp_path / "hub" / "default", tmp_path / "ich_cli" / "bundles" / "default"):
        folder.mkdir(parents=True)
        (folder / "config.json").touch()
        assert bundle.resolve_weights("") == folder  # the package takes precedence


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("owner/name", ("owner/name", None, None)),
        ("owner/name@v1.0", ("owner/name", "v1.0", None)),
        ("owner/name:rsna", ("owner/name", None, "rsna")),
        ("owner/name@refs/pr/1:dlmi", ("owner/name", "refs/pr/1", "dlmi")),
    ],
)
def test_parts_of_hub_ids(text: str, parts: tuple[str, str | None, str | None]) -> None:
    assert bundle.HubId.parse(text) == parts


@pytest.mark.parametrize("text", ["name", "owner/name:other", "owner/name@", "C:/x", "a/b@../c"])
def test_invalid_hub_ids(text: str) -> None:
    with pytest.raises(BundleError, match="not of the form"):
        bundle.HubId.parse(text)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.RepositoryNotFoundError("x", response=_response(404)), "not found on the Hub"),
        (errors.RepositoryNotFoundError("x", response=_response(401)), "not found on the Hub"),
        (errors.GatedRepoError("x", response=_response(403)), "gated"),
        (errors.RevisionNotFoundError("x", response=_response(404)), "revision not found"),
        (errors.HfHubHTTPError("x", response=_response(500)), "HTTP status 500"),
        (errors.OfflineModeIsEnabled("x"), "not in the cache.*give a local folder"),
        (httpx2.ConnectError("x"), r"the connection failed \(ConnectError\)"),
        (PermissionError(13, "Permission denied"), r"read or written \(Permission denied\)"),
        (errors.HFValidationError("secret"), "invalid repository name"),
        (ConnectionError("secret"), "HF_HUB_DISABLE_XET=1"),
    ],
)
def test_each_failure_is_one_line(
    monkeypatch: pytest.MonkeyPatch, error: Exception, expected: str
) -> None:
    def fail(*args: object, **kwargs: object) -> str:
        raise error

    monkeypatch.setattr("huggingface_hub.hf_hub_download", fail)
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # it waits for a Hub that is ill
    with pytest.raises(HubError, match=f"owner/name@v1: .*{expected}") as raised:
        bundle.fetch("owner/name@v1")
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)
