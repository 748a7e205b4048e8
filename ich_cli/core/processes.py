"""One training in several processes (torchrun): who writes, and when the others may read."""

from __future__ import annotations

import os
from typing import Final

RANK: Final = "RANK"  # as torchrun sets it


def is_main() -> bool:
    """Tell whether this process writes files and talks; of one process alone, always."""
    return os.environ.get(RANK, "0") == "0"


def meet() -> None:
    """Wait until all processes are here."""
    if "WORLD_SIZE" not in os.environ:
        return
    from accelerate import PartialState

    PartialState().wait_for_everyone()
