"""Networks compiled by torch.compile: to C++ for a CPU, to Triton for a GPU."""

from __future__ import annotations

import os
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from ich_cli.core.bundle import BundleConfig
from ich_cli.core.engines.cache import cache_folder
from ich_cli.core.engines.torch_engine import TorchEngine
from ich_cli.core.errors import IchError


class CompiledEngine(TorchEngine):
    """A network compiled for one input shape: one slice on a CPU, a whole batch on a GPU.

    A batch that is not full is padded with zeros: another shape would be compiled again.

    Parameters
    ----------
    model
        On `device`, in eval mode; it is not changed.
    config
        The config of its bundle.
    device
        ``cpu``, ``cuda`` or ``cuda:N``.
    batch_size
        Slices at once on a GPU.
    bf16
        Multiply in bfloat16.

    Raises
    ------
    IchError
        If it cannot be compiled.
    """

    def __init__(
        self, model: nn.Module, config: BundleConfig, device: str, batch_size: int, *, bf16: bool
    ) -> None:
        # in the user's own folder, not in a world-writable one under /tmp
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "inductor"))
        # freezing lays out the weights for the processor once, not at each call
        options: dict[str, Any] = {"freezing": True} if device == "cpu" else {}
        compiled = torch.compile(model, dynamic=False, options=options)
        super().__init__(
            cast(nn.Module, compiled), config.preprocess, device, batch_size, bf16=bf16
        )
        prep = config.preprocess
        try:
            self(np.zeros((1, prep.channels, prep.size, prep.size), np.uint8))
        except Exception as error:  # whatever the compilers raise
            first = str(error).strip().partition("\n")[0]
            raise IchError(
                f"torch.compile cannot compile {config.architecture} ({type(error).__name__}: "
                f"{first}); use --engine torch"
            ) from error

    def _forward(self, inputs: Tensor) -> Tensor:
        missing = self.batch_size - len(inputs)
        if missing == 0:
            return super()._forward(inputs)
        padded = torch.cat([inputs, inputs.new_zeros(missing, *inputs.shape[1:])])
        return super()._forward(padded.contiguous(memory_format=torch.channels_last))[:-missing]
