"""Processes of one distributed training (torchrun): rank, barrier, shutdown."""

from __future__ import annotations

import os
import sys


def is_main() -> bool:
    """Return whether this process has rank 0, and so writes files and messages."""
    return os.environ.get("RANK", "0") == "0"


def barrier() -> None:
    """Wait until all processes of a distributed training have arrived."""
    if "WORLD_SIZE" not in os.environ:
        return
    from accelerate import PartialState

    PartialState().wait_for_everyone()


def destroy_group() -> None:
    """Destroy the default process group, if there is one, before the process exits.

    Otherwise gloo's threads may release tensors while the interpreter shuts down, which aborts the
    process after all its work is done (https://github.com/pytorch/pytorch/pull/179291).
    """
    torch = sys.modules.get("torch")  # do not import torch for this alone
    if torch is None or not torch.distributed.is_available():
        return
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
