"""Options of `ich serve` as values: users and passwords, and loaded bundles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ich_cli.core.errors import UsageError

if TYPE_CHECKING:
    from ich_cli.core.predict import Predictor


def parse_auth(given: Iterable[str]) -> list[tuple[str, str]]:
    """Parse users and passwords.

    Parameters
    ----------
    given
        Each ``user:password``, or ``@file`` for a text file with one pair per line; empty lines
        and lines that start with ``#`` are ignored.

    Raises
    ------
    UsageError
        If a value is neither, or a file cannot be read. The message contains no password.
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
    """Load bundles and name them by folder or Hub id, never by their full path.

    Parameters
    ----------
    weights
        Values of ``--weights``; none for ``ICH_WEIGHTS`` or the default bundle.
    device
        Value of ``--device``.
    engine
        Value of ``--engine``; ``auto`` is torch here, since studies come one at a time.

    Raises
    ------
    IchError
        If a bundle cannot be loaded.
    """
    from ich_cli.core.predict import Predictor

    loaded: dict[str, Predictor] = {}
    names: Sequence[str | None] = weights or [None]
    for one in names:
        predictor = Predictor.load(one, device=device, engine=engine)
        name = _name(one, predictor.bundle.path)
        same = sum(name == other.split(" (")[0] for other in loaded)
        loaded[f"{name} ({same + 1})" if same else name] = predictor
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
    """Raise UsageError if the package for MCP is not installed."""
    if find_spec("mcp") is None:
        raise UsageError("--mcp needs the package mcp: pip install 'ich-cli[mcp]'")
