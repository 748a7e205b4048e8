"""Identifiers that outputs write in the place of UIDs.

A UID is written as it is, and so is a pseudonym of RSNA 2019 (``ID_`` and hex digits). Any other
text may be a name. It is replaced by a UID derived from its keyed hash (RFC 2104), since a plain
hash of a name can be guessed. Equal texts have equal identifiers on one machine: files still group.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import sys
from functools import cache
from pathlib import Path
from typing import Final

from ich_cli.core.errors import UsageError
from ich_cli.core.system.atomic import output_error
from ich_cli.core.system.pseudonyms import MIN_KEY_LENGTH, make_key

VARIABLE: Final = "ICH_ID_KEY"
"""Environment variable with the key, for several machines that must agree."""

_UID: Final = re.compile(r"[0-9.]{1,64}", re.ASCII)  # PS3.5 section 9.1, and older habits
_PSEUDONYM: Final = re.compile(r"ID_[0-9a-f]{6,16}", re.ASCII)


def identifier(text: str) -> str:
    """Return what outputs write for the text of a UID element: empty for an empty one.

    Raises
    ------
    OutputError
        If the text is no UID and there is no key: none in the environment, and the user's
        configuration folder cannot be written.
    """
    if not text or _UID.fullmatch(text) or _PSEUDONYM.fullmatch(text):
        return text
    return derived_uid(text)


def as_uid(text: str) -> str:
    """Return an identifier as a UID: DICOM objects cannot hold a pseudonym (PS3.5 section 6.2)."""
    return derived_uid(text) if _PSEUDONYM.fullmatch(text) else text


def derived_uid(text: str) -> str:
    """Return ``2.25.`` and 128 bits of HMAC-SHA-256 under the key of this machine, as a decimal.

    Raises
    ------
    OutputError
        As for `identifier`.
    """
    digest = hmac.new(_key(), text.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"


def keyed_hash(text: str) -> str:
    """Return 64 bits of HMAC-SHA-256 under the key of this machine, as 16 hex digits.

    Raises
    ------
    OutputError
        As for `identifier`.
    """
    data = text.encode("utf-8", "surrogatepass")
    return hmac.new(_key(), data, hashlib.sha256).hexdigest()[:16]


def _key() -> bytes:
    own = os.environ.get(VARIABLE, "")
    if not own:
        return _machine_key()
    if len(own) < MIN_KEY_LENGTH:
        raise UsageError(f"{VARIABLE}: a key has {MIN_KEY_LENGTH} characters or more")
    return own.encode("utf-8", "surrogateescape")


@cache
def _machine_key() -> bytes:
    """Read the key of this machine; create it, readable by the user alone, where there is none."""
    path = _config_folder() / "id.key"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            make_key(path)
        return path.read_bytes().strip()
    except OSError as error:
        remedy = f"or set {VARIABLE} to a secret of {MIN_KEY_LENGTH} characters"
        raise output_error(path, error, remedy) from error


def _config_folder() -> Path:
    if sys.platform == "win32":
        base = os.environ.get("APPDATA") or str(Path.home() / "AppData" / "Roaming")
    elif sys.platform == "darwin":
        base = str(Path.home() / "Library" / "Application Support")
    else:
        base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base, "ich")
