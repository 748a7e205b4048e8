"""Location of a bundle: the shipped default, a local folder, or the Hugging Face Hub."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from ich_cli.core.bundle.download import fetch
from ich_cli.core.bundle.files import CONFIG
from ich_cli.core.bundle.hub_id import is_hub_id
from ich_cli.core.errors import BundleError

_PACKAGE: Final = Path(__file__).resolve().parents[2]


def shipped_path(name: str) -> Path | None:
    """Return a shipped file or folder: in the package, or beside it in a source checkout."""
    packaged = [_PACKAGE / "bundles" / name, _PACKAGE / "templates" / name]
    checkout = [_PACKAGE.parent / "hub" / name, _PACKAGE.parent / name]
    return next((path for path in [*packaged, *checkout] if path.exists()), None)


def default_bundle() -> Path:
    """Return the folder of the shipped bundle."""
    config = shipped_path(f"default/{CONFIG}")
    if config is None:
        raise BundleError("no default bundle is installed; name one with --weights or ICH_WEIGHTS")
    return config.parent


def resolve_weights(value: str | Path | None = None) -> Path:
    """Return the local folder for a ``--weights`` value; download it if necessary.

    Parameters
    ----------
    value
        None for the default bundle; the folder of a bundle; the folder of a run, which stands for
        its ``bundle``, else its ``ensemble``; or ``owner/name[@revision]`` on the Hub, followed by
        ``:rsna`` or ``:dlmi`` for a plain timm classifier. An existing folder takes precedence
        over a Hub id of the same form.

    Raises
    ------
    BundleError
        If it is none of these.
    HubError
        If the download fails.
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
    """Return a run's refitted bundle, else its ensemble of folds, else the folder itself."""
    candidates = (folder / name for name in ("", "bundle", "ensemble"))
    return next((path for path in candidates if (path / CONFIG).is_file()), folder)
