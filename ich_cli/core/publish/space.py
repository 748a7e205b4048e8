"""The Space that shows a published bundle: `hub/space` and the code that it runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from ich_cli.core.bundle import HubId, patiently, shipped, telling
from ich_cli.core.errors import HubError
from ich_cli.core.publish.collect import Upload
from ich_cli.core.publish.upload import Pushed, commit, connect, ensure, stand

WEIGHTS_VARIABLE: Final = "ICH_WEIGHTS"

_CARD: Final = "README.md"
_PACKAGES: Final = ("ich_cli", "gradio_app")
_LEFT_OUT: Final = frozenset(("__pycache__", "bundles"))


def space_files(weights: str) -> tuple[Upload, ...]:
    """Return the files of a Space, sorted: those of `hub/space`, and the packages that run in it.

    The code goes along, so that a Space runs what made it, whatever is published elsewhere.

    Parameters
    ----------
    weights
        ``owner/name[@revision]`` of the bundle, which its card names.
    """
    folder = shipped("space")
    if folder is None:
        raise HubError("hub/space is not installed, so there is no Space to publish")
    files = [Upload(_CARD, _card(folder / _CARD, weights).encode())]
    files += [Upload(p.name, p) for p in folder.iterdir() if p.is_file() and p.name != _CARD]
    files += [one for name in _PACKAGES for one in _package(name)]
    return tuple(sorted(files, key=lambda one: one.path))


def push_space(space: str, weights: str, *, private: bool = False, message: str = "") -> Pushed:
    """Publish the Space that shows a bundle.

    Parameters
    ----------
    space
        ``owner/name`` of the Space; made if there is none.
    weights
        ``owner/name@<commit>``: what it shows, in its variable ``ICH_WEIGHTS``.
    private
        Of a new Space.
    message
        Of the commit.

    Raises
    ------
    HubError
        As `push`.
    """
    files = space_files(weights)
    with telling(f"Space {space}"):
        api = connect()
        ensure(api, space, "space", private=private, space_sdk="gradio")
        variables = patiently(lambda: api.get_space_variables(space))
        known = variables.get(WEIGHTS_VARIABLE)
        if known is None or known.value != weights:
            patiently(lambda: api.add_space_variable(space, WEIGHTS_VARIABLE, weights))
        before = stand(api, space, "space")
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
        if path.is_file() and not _LEFT_OUT.intersection(below.parts):
            yield Upload(f"{name}/{below.as_posix()}", path)


def _is_own(path: str) -> bool:
    return path.startswith(tuple(f"{name}/" for name in _PACKAGES))
