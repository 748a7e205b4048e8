"""Names of bundles on the Hugging Face Hub: ``owner/name[@revision][:preset]``."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ich_cli.core.errors import BundleError

_HUB_ID: Final = re.compile(
    r"(?P<repo>\w[\w.-]{0,95}/\w[\w.-]{0,95})(@(?P<revision>\w[\w./-]{0,200}))?"
    r"(:(?P<preset>rsna|dlmi))?",
    re.ASCII,
)
_COMMIT: Final = re.compile(r"[0-9a-f]{40}")


class HubId(NamedTuple):
    """Parsed Hub id."""

    repo: str
    """``owner/name``."""
    revision: str | None = None
    """Branch, tag or commit."""
    preset: str | None = None
    """Input preset of a plain timm classifier, ``rsna`` or ``dlmi``; a bundle has its own."""

    @classmethod
    def parse(cls, value: str) -> HubId:
        """Parse a Hub id; raise BundleError if it has another form."""
        found = _HUB_ID.fullmatch(value)
        if not found or ".." in value:
            raise BundleError(f"{value}: not of the form owner/name[@revision]")
        return cls(**found.groupdict())


def is_hub_id(value: str) -> bool:
    """Return whether a text has the form ``owner/name[@revision][:preset]``."""
    return bool(_HUB_ID.fullmatch(value)) and ".." not in value


def is_pinned(value: str) -> bool:
    """Return whether a text is a Hub id whose revision is a full commit hash."""
    return is_hub_id(value) and bool(_COMMIT.fullmatch(HubId.parse(value).revision or ""))
