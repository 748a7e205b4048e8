r"""Take what tells of a machine out of texts that go public: folders, users, hosts.

A path is cut down to its last part: ``--init /home/ann/w.safetensors`` becomes ``--init
w.safetensors``. In free text only what must be a path is cut: one that begins with ``/``, ``~``,
``.``, a drive or a host; so ``doi 10.13026/w8q8`` and ``owner/name`` stay. In a command line, and
where a setting names a file, everything with a slash is a path.
"""

from __future__ import annotations

import platform
import re
import shlex
from collections.abc import Mapping
from typing import Any, Final

_COMMANDS: Final = frozenset(("command", "init"))
"""Keys whose texts are a command line, or the name of a file."""

_STEP: Final = r"[^\s\\/'\"`<>|;,()\[\]{}]"
_NAMED: Final = re.compile(  # of a user, of a host and its folders, of a drive
    rf"(?<![\w/\\:])(?:file://|[\w.-]+@[\w.-]+:(?=[/~\\])|[\w-]{{2,}}:(?=/(?!/))|[A-Za-z]:(?=[\\/])|"
    rf"~\w*(?=[/\\])|\.{{1,2}}(?=[/\\])|(?=[/\\])|\\(?=\\))(?:[\\/]+{_STEP}+)+[\\/]*"
)
_USERS: Final = re.compile(r"(?:home|users|documents and settings)[\\/]+[^\\/]+[\\/]*$", re.I)
_ADDRESS: Final = re.compile(r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b")


def scrubbed(value: Any, key: str = "") -> Any:
    """Return JSON values with every text in them scrubbed; all else is as it was."""
    if isinstance(value, Mapping):
        return {name: scrubbed(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [scrubbed(one, key) for one in value]
    return scrubbed_text(value, command=key in _COMMANDS) if isinstance(value, str) else value


def scrubbed_text(text: str, *, command: bool = False) -> str:
    """Return a text without folders, users and this machine's name.

    Parameters
    ----------
    text
        Free text, a command line or a file's name.
    command
        Whether it is a command line: each word with a slash in it is a path.
    """
    text = _scrubbed_command(text) if command else _NAMED.sub(lambda m: _last_part(m[0]), text)
    text = _ADDRESS.sub("…", text)
    host = platform.node()
    return re.sub(rf"\b{re.escape(host)}\b", "…", text) if len(host) > 3 else text


def _scrubbed_command(text: str) -> str:
    try:
        words = shlex.split(text)
    except ValueError:  # an open quote
        words = []
    if shlex.join(words) != text:
        return " ".join(map(_last_part, text.split()))  # a backslash would be lost in splitting
    return shlex.join(map(_last_part, words))


def _last_part(path: str) -> str:
    before, equals, path = path.rpartition("=")
    if _USERS.search(path):
        return f"{before}{equals}~"
    return before + equals + (re.split(r"[\\/]+", path.rstrip("\\/"))[-1] or path)
