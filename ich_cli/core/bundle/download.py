"""Download of bundles from the Hugging Face Hub into the cache of its client."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from ich_cli.core.bundle.config import BundleConfig
from ich_cli.core.bundle.files import (
    CARD,
    CONFIG,
    SEQUENCE,
    WEIGHTS,
    is_subfolder,
    read_config,
    read_config_values,
)
from ich_cli.core.bundle.hub_errors import retrying, translate_hub_errors
from ich_cli.core.bundle.hub_id import HubId, is_pinned
from ich_cli.core.bundle.import_timm import import_timm, timm_config
from ich_cli.core.errors import BundleError, HubError
from ich_cli.core.system import sha256_of, sum_of_sums

MAX_MEMBERS: Final = 32
"""Maximum number of members of an ensemble."""

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


def fetch(hub_id: str) -> Path:
    """Download a bundle into the cache and return its folder; afterwards it works offline.

    config.json is checked before any weights are downloaded. Only config, weights and card are
    downloaded, of an ensemble also those of its members; never a pickle. The environment variables
    ``HF_HUB_OFFLINE``, ``HF_ENDPOINT``, ``HF_HOME`` and ``HF_TOKEN`` apply.

    Raises
    ------
    HubError
        Offline and not in the cache; not found or no access; unknown revision; not a bundle;
        weights whose checksum differs from that in the config.
    """
    repo, revision, preset = HubId.parse(hub_id)
    with translate_hub_errors(hub_id):
        folder = _fetch_config(repo, revision)
        with _replace_folder_by(hub_id, folder):
            values = read_config_values(folder)
            if isinstance(values, dict) and "ich" not in values:
                config = timm_config(values, preset, f"{repo}@{folder.name}")
                weights = _fetch_weights(hub_id, repo, folder)
                return import_timm(config, weights, repo, folder.name)
            config = read_config(folder)
            if preset is not None:
                raise BundleError(f"a bundle has its own input settings; drop :{preset}")
            if config.members:
                _fetch_members(hub_id, repo, folder, config)
            else:
                _fetch_weights(hub_id, repo, folder, sha256=config.sha256)
            if config.sequence is not None:
                sha256 = config.sequence.sha256
                _fetch_weights(hub_id, repo, folder, sha256=sha256, file=SEQUENCE)
            _fetch_card(repo, folder.name)
    return folder


def pin(hub_id: str) -> str:
    """Return ``owner/name@<commit>`` for the commit that a Hub id refers to now.

    Raises
    ------
    HubError
        If there is no bundle.
    """
    repo, revision, preset = HubId.parse(hub_id)
    with translate_hub_errors(hub_id):
        folder = _fetch_config(repo, revision)
        with _replace_folder_by(hub_id, folder):
            if preset is None:
                read_config(folder)
    return f"{repo}@{folder.name}{f':{preset}' if preset else ''}"


def member_folders(folder: Path, config: BundleConfig) -> list[Path]:
    """Return the local folders of an ensemble's members; download those on the Hub."""
    if len(config.members) > MAX_MEMBERS:
        raise BundleError(f"{folder / CONFIG}: more than {MAX_MEMBERS} members")
    return [_member_folder(folder, member) for member in config.members]


def _member_folder(folder: Path, member: str) -> Path:
    if is_pinned(member):
        try:
            return fetch(member)
        except HubError as error:
            raise BundleError(f"{folder / CONFIG}: member {member}: {error}") from error
    if not is_subfolder(member):
        raise BundleError(
            f"{folder / CONFIG}: member {member!r} is neither a subfolder nor owner/name@<commit>"
        )
    return folder / member


@contextmanager
def _replace_folder_by(hub_id: str, folder: Path) -> Iterator[None]:
    """Name the Hub id instead of the cache folder in errors."""
    try:
        yield
    except BundleError as error:
        message = str(error).replace(f"{folder}{os.sep}", "").replace(f"{folder}: ", "")
        raise HubError(f"{hub_id}: {message}") from error


def _fetch_config(repo: str, revision: str | None) -> Path:
    """Download config.json and return its folder in the cache, named after the commit."""
    from huggingface_hub.errors import RemoteEntryNotFoundError

    try:
        return _download(repo, revision or "main", CONFIG).parent
    except RemoteEntryNotFoundError:
        raise HubError(f"{repo}: has no {CONFIG}, so it is not a bundle of ich") from None


def _fetch_members(hub_id: str, repo: str, folder: Path, config: BundleConfig) -> None:
    for member in config.members[:MAX_MEMBERS]:
        if not is_pinned(member) and is_subfolder(member):
            _download(repo, folder.name, f"{member}/{CONFIG}")
            own = read_config(folder / member)
            _fetch_weights(hub_id, repo, folder, f"{member}/", sha256=own.sha256)
            _fetch_card(repo, folder.name, f"{member}/")
    sums = [read_config(one).sha256 for one in member_folders(folder, config)]
    if sum_of_sums(sums) != config.sha256:
        raise BundleError("config.json: ich.sha256 does not match its members")


def _fetch_weights(
    hub_id: str, repo: str, folder: Path, subfolder: str = "", *, sha256: str = "",
    file: str = WEIGHTS,
) -> Path:  # fmt: skip
    """Download weights and verify their checksum; try once more if they are damaged.

    Without `sha256`, the checksum is the name that the cache gives the file.
    """
    from huggingface_hub.errors import RemoteEntryNotFoundError

    name = subfolder + file
    try:
        for force in (False, True):
            path = _download(repo, folder.name, name, force=force)
            blob = path.resolve().name
            wanted = sha256 or (blob if _SHA256.fullmatch(blob) else "")
            if not wanted or sha256_of(path) == wanted:
                return path
    except RemoteEntryNotFoundError:
        raise HubError(f"{hub_id}: has no {name}; ich reads no other weights format") from None
    path.resolve().unlink()
    path.unlink(missing_ok=True)
    raise HubError(
        f"{hub_id}: the checksum of {name} is not that of its config (ich.sha256): damaged twice "
        "during download, or edited; the file was deleted"
    )


def _fetch_card(repo: str, commit: str, subfolder: str = "") -> None:
    from huggingface_hub.errors import EntryNotFoundError

    with suppress(EntryNotFoundError):  # the card is optional
        _download(repo, commit, subfolder + CARD)


def _download(repo: str, revision: str, name: str, *, force: bool = False) -> Path:
    """Return the path of a file in the cache; download it if it is not there, or with `force`.

    Raises
    ------
    HubError
        If it must be downloaded again and the client is offline.
    Exception
        Any error of the client; see `translate_hub_errors`.
    """
    from huggingface_hub import hf_hub_download, is_offline_mode

    if force and is_offline_mode():
        raise HubError(f"{repo}: {name} is damaged in the cache; download it again while online")
    bar = _progress_bar(name)
    return Path(
        retrying(
            lambda: hf_hub_download(
                repo, name, revision=revision, force_download=force, tqdm_class=bar
            )
        )
    )


def _progress_bar(name: str) -> Any:
    """Return the client's progress bar, with a delay of one second and the file's name."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    class Bar(tqdm):
        def __init__(self, *args: Any, **settings: Any) -> None:
            settings |= {"desc": name, "delay": 1.0, "leave": False}
            super().__init__(*args, **settings)  # type: ignore[no-untyped-call]

    return Bar
