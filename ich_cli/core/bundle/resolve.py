"""Where a bundle comes from: the shipped default, a folder, or the Hugging Face Hub."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from ich_cli.core.bundle.config import BundleConfig
from ich_cli.core.bundle.download import download
from ich_cli.core.bundle.files import (
    CARD,
    CONFIG,
    SEQUENCE,
    WEIGHTS,
    is_subfolder,
    read_config,
    read_config_values,
)
from ich_cli.core.bundle.hub_errors import telling
from ich_cli.core.bundle.import_timm import adopt, adopted_config
from ich_cli.core.errors import BundleError, HubError
from ich_cli.core.system import sha256_of, sum_of_sums

MAX_MEMBERS: Final = 32
"""Of an ensemble."""

_HUB_ID: Final = re.compile(
    r"(?P<repo>\w[\w.-]{0,95}/\w[\w.-]{0,95})(@(?P<revision>\w[\w./-]{0,200}))?"
    r"(:(?P<preset>rsna|dlmi))?",
    re.ASCII,
)
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_PACKAGE: Final = Path(__file__).resolve().parents[2]


class HubId(NamedTuple):
    """``owner/name[@revision][:preset]``, taken apart."""

    repo: str
    revision: str | None = None
    preset: str | None = None
    """How a plain timm classifier's input is made; a bundle says that itself."""

    @classmethod
    def parse(cls, value: str) -> HubId:
        """Take a text apart; BundleError where it has another form."""
        found = _HUB_ID.fullmatch(value)
        if not found or ".." in value:
            raise BundleError(f"{value}: not of the form owner/name[@revision]")
        return cls(**found.groupdict())


def is_hub_id(value: str) -> bool:
    """Tell whether a text has the form ``owner/name[@revision][:preset]``."""
    return bool(_HUB_ID.fullmatch(value)) and ".." not in value


def is_pinned(value: str) -> bool:
    """Tell whether a text is a Hub id with a full commit: the same bytes for ever."""
    return is_hub_id(value) and bool(_COMMIT.fullmatch(HubId.parse(value).revision or ""))


def shipped(name: str) -> Path | None:
    """Return a file or folder that ships: in the package, or beside it in a source checkout."""
    packaged = [_PACKAGE / "bundles" / name, _PACKAGE / "templates" / name]
    checkout = [_PACKAGE.parent / "hub" / name, _PACKAGE.parent / name]
    return next((path for path in [*packaged, *checkout] if path.exists()), None)


def default_bundle() -> Path:
    """Return the folder of the bundle that ships."""
    config = shipped(f"default/{CONFIG}")
    if config is None:
        raise BundleError("no default bundle is installed; name one by --weights or ICH_WEIGHTS")
    return config.parent


def resolve_weights(value: str | Path | None = None) -> Path:
    """Return the local folder that a ``--weights`` value stands for, fetching it if need be.

    Parameters
    ----------
    value
        None for the default; a bundle's folder, or that of a run, which stands for its
        ``bundle``, else its ``ensemble``; or ``owner/name[@revision]`` on the Hub, of a plain timm
        classifier with ``:rsna`` or ``:dlmi`` behind it. A folder that exists wins over a Hub id
        of the same form.

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
        return _bundle_of_run(path)
    if path.is_file():
        raise BundleError(f"{value}: a file, not a bundle; give the folder with its config.json")
    if isinstance(value, str) and is_hub_id(value):
        return fetch(value)
    raise BundleError(
        f"{value}: neither a folder nor owner/name[@revision] on the Hugging Face Hub"
    )


def _bundle_of_run(folder: Path) -> Path:
    """Return a run's bundle: the refit on all patients, else that of all folds; else the folder."""
    found = (folder / name for name in ("", "bundle", "ensemble"))
    return next((path for path in found if (path / CONFIG).is_file()), folder)


def fetch(hub_id: str) -> Path:
    """Fetch a bundle from the Hub into its cache; from then on it is there without a network.

    config.json comes first; what is no bundle is refused before its weights are asked for. Of a
    bundle come config, weights and card, of an ensemble those of its members: nothing else, and
    no pickle ever. ``HF_HUB_OFFLINE``, ``HF_ENDPOINT``, ``HF_HOME`` and ``HF_TOKEN`` count as
    that client reads them.

    Raises
    ------
    HubError
        Offline and not in the cache; not found or no access; unknown revision; not a bundle;
        weights that are not those that its config names.
    """
    repo, revision, preset = HubId.parse(hub_id)
    with telling(hub_id):
        folder = _config(repo, revision)
        with _naming(hub_id, folder):
            values = read_config_values(folder)
            if isinstance(values, dict) and "ich" not in values:
                plain = adopted_config(values, preset, f"{repo}@{folder.name}")
                weights = _weights(hub_id, repo, folder)
                return adopt(plain, weights, repo, folder.name)
            config = read_config(folder)
            if preset is not None:
                raise BundleError(f"a bundle says itself how its input is made; drop :{preset}")
            if config.members:
                _members(hub_id, repo, folder, config)
            else:
                _weights(hub_id, repo, folder, sha256=config.sha256)
            if config.sequence is not None:
                _weights(hub_id, repo, folder, sha256=config.sequence.sha256, file=SEQUENCE)
            _card(repo, folder.name)
    return folder


def pin(hub_id: str) -> str:
    """Return ``owner/name@<commit>`` for what a Hub id stands for now, by its config alone.

    Raises
    ------
    HubError
        If there is no bundle.
    """
    repo, revision, preset = HubId.parse(hub_id)
    with telling(hub_id):
        folder = _config(repo, revision)
        with _naming(hub_id, folder):
            if preset is None:
                read_config(folder)
    return f"{repo}@{folder.name}{f':{preset}' if preset else ''}"


def member_folders(folder: Path, config: BundleConfig) -> list[Path]:
    """Return the local folders of an ensemble's members, fetching those on the Hub."""
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
def _naming(hub_id: str, folder: Path) -> Iterator[None]:
    """Name the Hub id in errors, not where the cache lies."""
    try:
        yield
    except BundleError as error:
        told = str(error).replace(f"{folder}{os.sep}", "").replace(f"{folder}: ", "")
        raise HubError(f"{hub_id}: {told}") from error


def _config(repo: str, revision: str | None) -> Path:
    """Fetch config.json and return its folder in the cache, whose name is the commit."""
    from huggingface_hub.errors import RemoteEntryNotFoundError

    try:
        return download(repo, revision or "main", CONFIG).parent
    except RemoteEntryNotFoundError:
        raise HubError(f"{repo}: holds no {CONFIG}, so it is no bundle of ich") from None


def _members(hub_id: str, repo: str, folder: Path, config: BundleConfig) -> None:
    for member in config.members[:MAX_MEMBERS]:
        if not is_pinned(member) and is_subfolder(member):
            download(repo, folder.name, f"{member}/{CONFIG}")
            own = read_config(folder / member)
            _weights(hub_id, repo, folder, f"{member}/", sha256=own.sha256)
            _card(repo, folder.name, f"{member}/")
    sums = [read_config(one).sha256 for one in member_folders(folder, config)]
    if sum_of_sums(sums) != config.sha256:
        raise BundleError("config.json: ich.sha256 is not that of its members")


def _weights(
    hub_id: str, repo: str, folder: Path, below: str = "", *, sha256: str = "",
    file: str = WEIGHTS,
) -> Path:  # fmt: skip
    """Fetch weights and compare them with their checksum; what is damaged is fetched once more.

    Without `sha256` what the Hub itself says of the file counts: the cache names files by it.
    """
    from huggingface_hub.errors import RemoteEntryNotFoundError

    name = below + file
    try:
        for again in (False, True):
            path = download(repo, folder.name, name, force=again)
            named = path.resolve().name
            wanted = sha256 or (named if _SHA256.fullmatch(named) else "")
            if not wanted or sha256_of(path) == wanted:
                return path
    except RemoteEntryNotFoundError:
        raise HubError(f"{hub_id}: holds no {name}; ich opens no other kind of weights") from None
    path.resolve().unlink()
    path.unlink(missing_ok=True)
    raise HubError(
        f"{hub_id}: {name} is not what its config names (ich.sha256): damaged on the way, twice, "
        "or changed by hand; nothing of it was kept"
    )


def _card(repo: str, commit: str, below: str = "") -> None:
    from huggingface_hub.errors import EntryNotFoundError

    with suppress(EntryNotFoundError):  # a bundle predicts without a card
        download(repo, commit, below + CARD)
