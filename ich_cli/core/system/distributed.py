"""One training in several processes (torchrun): who writes, and when the others may read."""

from __future__ import annotations

import os
import sys
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


def leave() -> None:
    """Give up the group of processes, if there is one: the last thing before a process ends.

    Gloo's threads may hold tensors that Python knows. Where they let go of them while the
    interpreter is being torn down the process aborts, after all its work is done
    (https://github.com/pytorch/pytorch/pull/179291).
    """
    torch = sys.modules.get("torch")  # never loaded for this alone
    if torch is None or not torch.distributed.is_available():
        return
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
