"""Space that demonstrates a published bundle: `hub/space` and the code that it runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from ich_cli.core.bundle import HubId, retrying, shipped_path, translate_hub_errors
from ich_cli.core.errors import HubError
from ich_cli.core.publish.collect import Upload
from ich_cli.core.publish.upload import PushResult, commit, connect, ensure_repo, read_repo_state

WEIGHTS_VARIABLE: Final = "ICH_WEIGHTS"

_CARD: Final = "README.md"
_PACKAGES: Final = ("ich_cli", "gradio_app")
_EXCLUDED: Final = frozenset(("__pycache__", "bundles"))


def space_files(weights: str) -> tuple[Upload, ...]:
    """Return the files of a Space, sorted: those of `hub/space` and our packages.

    The Space contains the code, so that it runs the version that published it.

    Parameters
    ----------
    weights
        ``owner/name[@revision]`` of the bundle, for the Space's card.
    """
    folder = shipped_path("space")
    if folder is None:
        raise HubError("hub/space is not installed; cannot publish a Space")
    files = [Upload(_CARD, _card(folder / _CARD, weights).encode())]
    files += [Upload(p.name, p) for p in folder.iterdir() if p.is_file() and p.name != _CARD]
    files += [one for name in _PACKAGES for one in _package(name)]
    return tuple(sorted(files, key=lambda one: one.path))


def push_space(space: str, weights: str, *, private: bool = False, message: str = "") -> PushResult:
    """Publish a Space that demonstrates a bundle.

    Parameters
    ----------
    space
        ``owner/name`` of the Space; created if it does not exist.
    weights
        ``owner/name@<commit>`` of the bundle, set as the variable ``ICH_WEIGHTS``.
    private
        A new Space is private.
    message
        Commit message.

    Raises
    ------
    HubError
        For the same reasons as `push`.
    """
    files = space_files(weights)
    with translate_hub_errors(f"Space {space}"):
        api = connect()
        ensure_repo(api, space, "space", private=private, space_sdk="gradio")
        variables = retrying(lambda: api.get_space_variables(space))
        known = variables.get(WEIGHTS_VARIABLE)
        if known is None or known.value != weights:
            retrying(lambda: api.add_space_variable(space, WEIGHTS_VARIABLE, weights))
        before = read_repo_state(api, space, "space")
        done = commit(
            api, files, space, "space", before, branch="main", message=message, own=_is_own
        )
        return replace(done, tag=before.tag_of(done.commit))


def _card(path: Path, weights: str) -> str:
    from huggingface_hub import SpaceCard

    card = SpaceCard(path.read_text("utf-8"))
    card.data["models"] = [HubId.parse(weights).repo]
    return str(card)


def _package(name: str) -> Iterator[Upload]:
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise HubError(f"the package {name} is not installed")
    folder = Path(spec.submodule_search_locations[0])
    for path in folder.rglob("*"):
        below = path.relative_to(folder)
        if path.is_file() and not _EXCLUDED.intersection(below.parts):
            yield Upload(f"{name}/{below.as_posix()}", path)


def _is_own(path: str) -> bool:
    return path.startswith(tuple(f"{name}/" for name in _PACKAGES))
