"""Remove paths, users and hosts from texts before publication.

A path is reduced to its last part: ``--init /home/ann/w.safetensors`` becomes ``--init
w.safetensors``. In free text only an unambiguous path is reduced: one that begins with ``/``,
``~``, ``.``, a drive or a host. So ``doi 10.13026/w8q8`` and ``owner/name`` stay. In a command
line, and in a setting that names a file, everything with a slash is a path.
"""

from __future__ import annotations

import platform
import re
import shlex
from collections.abc import Mapping
from typing import Any, Final

_COMMANDS: Final = frozenset(("command", "init"))
"""Keys whose texts are command lines or file names."""

_COMPONENT: Final = r"[^\s\\/'\"`<>|;,()\[\]{}]"
_PATH: Final = re.compile(  # starts with a host, drive, user or folder
    rf"(?<![\w/\\:])(?:file://|[\w.-]+@[\w.-]+:(?=[/~\\])|[\w-]{{2,}}:(?=/(?!/))|[A-Za-z]:(?=[\\/])|"
    rf"~\w*(?=[/\\])|\.{{1,2}}(?=[/\\])|(?=[/\\])|\\(?=\\))(?:[\\/]+{_COMPONENT}+)+[\\/]*"
)
_USERS: Final = re.compile(r"(?:home|users|documents and settings)[\\/]+[^\\/]+[\\/]*$", re.I)
_ADDRESS: Final = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b")


def scrub_values(value: Any, key: str = "") -> Any:
    """Return JSON values with all texts scrubbed."""
    if isinstance(value, Mapping):
        return {name: scrub_values(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [scrub_values(one, key) for one in value]
    return scrub_text(value, command=key in _COMMANDS) if isinstance(value, str) else value


def scrub_text(text: str, *, command: bool = False) -> str:
    """Return a text without folders, users and the name of this machine.

    Parameters
    ----------
    text
        Free text, a command line or a file's name.
    command
        The text is a command line, in which every word with a slash is a path.
    """
    text = _scrub_command(text) if command else _PATH.sub(lambda m: _last_part(m[0]), text)
    text = _ADDRESS.sub("…", text)
    host = platform.node()
    return re.sub(rf"\b{re.escape(host)}\b", "…", text) if len(host) > 3 else text


def _scrub_command(text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError:  # unbalanced quotes
        words = []
    if shlex.join(words) != text:
        return " ".join(map(_last_part, text.split()))  # splitting would lose a backslash
    return shlex.join(map(_last_part, words))


def _last_part(path: str) -> str:
    before, equals, path = path.rpartition("=")
    if _USERS.search(path):
        return f"{before}{equals}~"
    return before + equals + (re.split(r"[\\/]+", path.rstrip("\\/"))[-1] or path)
