"""What files are called in outputs: as the user named them, or by a hash that tells nothing.

A plain hash of a path can be guessed: who thinks that ``scans/DOE^JOHN.dcm`` may be in a table
hashes it and looks. So the hash takes a key, which the owner of the data keeps:

    file-<first 16 hex digits of HMAC-SHA256(key, path)>        (RFC 2104)

The same key and path give the same name in every run and table. The owner finds a file again by
naming the paths once more; with ``ich``, or without it:
``printf %s scans/a.dcm | openssl dgst -sha256 -hmac "$(cat KEYFILE)"``.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from ich_cli.core.errors import UsageError
from ich_cli.core.system.atomic import output_error, temporary_sibling

Names = Callable[[str], str]
"""Path as the user named it → what outputs, notes and errors call it."""

LEAST: Final = 32  # characters of a key
_MOST: Final = 4096
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL


def as_named(path: str) -> str:
    """Return the path itself."""
    return path


class AnonymousNames:
    """Calls files by a keyed hash of their paths.

    Parameters
    ----------
    key
        At least 32 characters.
    """

    def __init__(self, key: str) -> None:
        self._key = key.encode()
        self._real: dict[str, str] = {}

    def __call__(self, path: str) -> str:
        """Return ``file-`` and 16 hex digits."""
        digest = hmac.new(self._key, path.encode("utf-8", "surrogateescape"), hashlib.sha256)
        name = f"file-{digest.hexdigest()[:16]}"
        self._real[name] = path
        return name

    def real(self, name: str) -> str:
        """Return the path that was given this name in this run; in memory only."""
        return self._real.get(name, name)

    @classmethod
    def from_file(cls, path: Path) -> AnonymousNames:
        """Read the key from a file; make it, readable by its owner alone, where there is none.

        Raises
        ------
        UsageError
            If the file holds no key.
        OutputError
            If it can be neither read nor made.
        """
        try:
            if not path.exists():
                make_key(path)
            with path.open("rb") as stream:
                text = stream.read(_MOST + 1).decode("latin-1").strip()
        except OSError as error:
            raise output_error(path, error) from error
        if not LEAST <= len(text) <= _MOST or not text.isascii() or not text.isprintable():
            raise UsageError(
                f"--anonymous-paths {path}: holds no key, one line of {LEAST} characters or more; "
                "name a new file, and it is made"
            )
        return cls(text)


def make_key(path: Path) -> None:
    """Make the file whole or not at all: several processes may begin at once, and share it."""
    new = temporary_sibling(path, f"{secrets.token_hex(4)}.key")
    try:
        key = f"{secrets.token_hex(32)}\n"
        _write_new(new, key)
        with suppress(FileExistsError):  # another process was first
            try:
                os.link(new, path)
            except FileExistsError:
                raise
            except OSError:  # a file system without hard links
                _write_new(path, key)
    finally:
        new.unlink(missing_ok=True)


def _write_new(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, _NEW, 0o600), "w", encoding="ascii") as file:
        file.write(text)
