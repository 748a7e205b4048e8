"""One file from the Hugging Face Hub into the cache of its client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ich_cli.core.bundle.hub_errors import patiently
from ich_cli.core.errors import HubError


def download(repo: str, revision: str, name: str, *, force: bool = False) -> Path:
    """Return the path of a file in the cache, fetched unless it is there.

    Parameters
    ----------
    repo
        ``owner/name`` of a model.
    revision
        Branch, tag or commit.
    name
        Of the file in the repository.
    force
        Fetch it even so: what is there is damaged.

    Raises
    ------
    HubError
        If it is damaged and there is no network.
    Exception
        Whatever the client raises; `hub_errors.telling` tells it.
    """
    from huggingface_hub import hf_hub_download, is_offline_mode

    if force and is_offline_mode():
        raise HubError(f"{repo}: {name} is damaged in the cache; fetch it again with a network")
    bar = _bar(name)
    return Path(
        patiently(
            lambda: hf_hub_download(
                repo, name, revision=revision, force_download=force, tqdm_class=bar
            )
        )
    )


def _bar(name: str) -> Any:
    """Return the client's progress bar, shown after a second and under the file's own name."""
    from huggingface_hub.utils import tqdm  # type: ignore[attr-defined]

    class Bar(tqdm):
        def __init__(self, *args: Any, **settings: Any) -> None:
            settings |= {"desc": name, "delay": 1.0, "leave": False}
            super().__init__(*args, **settings)  # type: ignore[no-untyped-call]

    return Bar
