"""Where a bundle comes from: the shipped default, a folder, or the Hugging Face Hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from ich_cli.core.errors import BundleError, HubError

BUNDLE_FILES: Final = ("config.json", "model.safetensors", "README.md")

_HUB_ID: Final = re.compile(r"[\w][\w.-]{0,95}/[\w][\w.-]{0,95}(@[\w][\w./-]{0,200})?", re.ASCII)
_PINNED: Final = re.compile(r".+@[0-9a-f]{40}")
_PACKAGE: Final = Path(__file__).resolve().parents[1]


def is_hub_id(value: str) -> bool:
    """Tell whether a text has the form ``owner/name`` or ``owner/name@revision``."""
    return bool(_HUB_ID.fullmatch(value)) and ".." not in value


def is_pinned(value: str) -> bool:
    """Tell whether a text is a Hub id with a full commit: the same bytes for ever."""
    return is_hub_id(value) and bool(_PINNED.fullmatch(value))


def default_bundle() -> Path:
    """Return the folder of the bundle that ships: in the package, or in a source checkout."""
    for folder in (_PACKAGE / "bundles" / "default", _PACKAGE.parent / "hub" / "default"):
        if (folder / "config.json").is_file():
            return folder
    raise BundleError("no default bundle is installed; name one by --weights or ICH_WEIGHTS")


def resolve_weights(value: str | Path | None = None) -> Path:
    """Return the local folder that a ``--weights`` value stands for, fetching it if need be.

    Parameters
    ----------
    value
        None for the default; a folder; or ``owner/name[@revision]`` on the Hub. A folder that
        exists wins over a Hub id of the same form.

    Raises
    ------
    BundleError
        If it is none of these.
    HubError
        If the Hub does not give it.
    """
    if value is None or not str(value).strip():
        return default_bundle()
    path = Path(value).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        raise BundleError(f"{value}: a file, not a bundle; give the folder with its config.json")
    if isinstance(value, str) and is_hub_id(value):
        return fetch(value)
    raise BundleError(
        f"{value}: neither a folder nor owner/name[@revision] on the Hugging Face Hub"
    )


def fetch(hub_id: str) -> Path:
    """Fetch a bundle from the Hub into its cache; pickles there are never downloaded.

    Reads ``HF_HUB_OFFLINE``, ``HF_ENDPOINT``, ``HF_HOME`` and ``HF_TOKEN`` as that client does.

    Raises
    ------
    HubError
        Offline and not in the cache; not found or no access; unknown revision; not a bundle.
    """
    from huggingface_hub import snapshot_download

    repo, _, revision = hub_id.partition("@")
    patterns = [*BUNDLE_FILES, *(f"*/{name}" for name in BUNDLE_FILES)]
    try:
        folder = Path(snapshot_download(repo, revision=revision or None, allow_patterns=patterns))
    except Exception as error:  # the client lets through whatever its HTTP library raises
        raise HubError(f"{hub_id}: {_reason(error)}") from error
    if not (folder / "config.json").is_file():
        raise HubError(f"{hub_id}: holds no config.json, so it is no bundle of ich")
    return folder


def _reason(error: Exception) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return "gated: ask for access on its page, then log in by `hf auth login` or HF_TOKEN"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "no such model on the Hub, or no access to it; check the name and HF_TOKEN"
    if isinstance(error, errors.RevisionNotFoundError):
        return "no such revision; check what stands after the @"
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        return (
            "not in the cache, and the Hub cannot be reached; connect once (HF_HUB_OFFLINE unset, "
            "HF_ENDPOINT right) or give a folder"
        )
    if isinstance(error, errors.HfHubHTTPError):
        status = getattr(error.response, "status_code", "unknown")
        return f"the Hub answered with HTTP status {status}; check HF_TOKEN and try again"
    if isinstance(error, OSError):
        return f"cannot be stored in the cache ({error.strerror or type(error).__name__})"
    return f"cannot be fetched ({type(error).__name__}); check the network, or give a folder"
