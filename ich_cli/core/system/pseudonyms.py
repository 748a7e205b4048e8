"""File names in outputs: as given, or replaced by a keyed hash.

A plain hash of a path can be guessed: anyone can hash ``scans/DOE^JOHN.dcm`` and search for it in a
table. The hash therefore uses a key, which the owner of the data keeps:

    file-<first 16 hex digits of HMAC-SHA256(key, path)>        (RFC 2104)

The same key and path give the same name in every run and table. The owner can compute the name of a
file with ``ich``, or without it:
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
"""Function: path as given → name in outputs, notes and errors."""

MIN_KEY_LENGTH: Final = 32  # of a key, in characters
_MAX_LENGTH: Final = 4096
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL


def as_named(path: str) -> str:
    """Return the path itself."""
    return path


class AnonymousNames:
    """Replace file names by a keyed hash of their paths.

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
        """Return the path behind a name of this run; kept in memory only."""
        return self._real.get(name, name)

    @classmethod
    def from_file(cls, path: Path) -> AnonymousNames:
        """Read the key from a file; create it, readable only by its owner, if it does not exist.

        Raises
        ------
        UsageError
            If the file contains no key.
        OutputError
            If it cannot be read or created.
        """
        try:
            if not path.exists():
                make_key(path)
            with path.open("rb") as stream:
                text = stream.read(_MAX_LENGTH + 1).decode("latin-1").strip()
        except OSError as error:
            raise output_error(path, error) from error
        valid = MIN_KEY_LENGTH <= len(text) <= _MAX_LENGTH
        if not valid or not text.isascii() or not text.isprintable():
            raise UsageError(
                f"--anonymous-paths {path}: contains no key, which is one line of at least "
                f"{MIN_KEY_LENGTH} characters; name a new file to create one"
            )
        return cls(text)


def make_key(path: Path) -> None:
    """Create the key file atomically, since several processes may start at once and share it."""
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
    with os.fdopen(os.open(path, _CREATE, 0o600), "w", encoding="ascii") as file:
        file.write(text)
