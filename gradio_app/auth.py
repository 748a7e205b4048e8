"""Who may use the page, and which bundles it has: from options to values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ich_cli.core.errors import UsageError

if TYPE_CHECKING:
    from ich_cli.core.predict import Predictor


def parse_auth(given: Iterable[str]) -> list[tuple[str, str]]:
    """Return users and passwords.

    Parameters
    ----------
    given
        Each ``user:password``, or ``@file``: a text file with one such pair a line; empty lines
        and those that start with ``#`` are passed over.

    Raises
    ------
    UsageError
        For what is neither, or a file that cannot be read. Passwords are never quoted.
    """
    pairs = []
    for one in given:
        for line in _lines(one[1:]) if one.startswith("@") else [one]:
            user, colon, password = line.partition(":")
            if not (colon and user and password):
                where = f"a line of {one[1:]}" if one.startswith("@") else "--auth"
                raise UsageError(f"{where}: user:password expected")
            pairs.append((user, password))
    return pairs


def load_bundles(weights: Sequence[str], device: str, engine: str = "auto") -> dict[str, Predictor]:
    """Load bundles and name them for the page: by folder or Hub id, never by the whole path.

    Parameters
    ----------
    weights
        As ``--weights`` takes them; none for ``ICH_WEIGHTS`` or the bundle that ships.
    device
        As ``--device`` takes it.
    engine
        As ``--engine`` takes it. A page answers study by study: for ``auto`` that is torch.

    Raises
    ------
    IchError
        For a bundle that cannot be loaded.
    """
    from ich_cli.core.predict import Predictor

    loaded: dict[str, Predictor] = {}
    given: Sequence[str | None] = weights or [None]
    for one in given:
        predictor = Predictor.load(one, device=device, engine=engine)
        name = _name(one, predictor.bundle.path)
        twins = sum(name == other.split(" (")[0] for other in loaded)
        loaded[f"{name} ({twins + 1})" if twins else name] = predictor
    return loaded


def _name(given: str | None, path: Path) -> str:
    if given is None or Path(given).expanduser().is_dir():
        return path.resolve().name
    return given


def _lines(name: str) -> list[str]:
    try:
        lines = Path(name).expanduser().read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise UsageError(f"--auth @{name}: cannot be read") from None
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def check_mcp() -> None:
    """Make sure that the package for MCP is there.

    Raises
    ------
    UsageError
        If it is not.
    """
    if find_spec("mcp") is None:
        raise UsageError("--mcp needs the package mcp: pip install 'ich-cli[mcp]'")
