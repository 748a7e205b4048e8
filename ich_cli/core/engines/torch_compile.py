"""A network compiled by torch.compile: C++ for the CPU, Triton for a GPU."""

from __future__ import annotations

import os
from typing import Any, cast

import torch
from torch import Tensor, nn

from ich_cli.core.bundle import BundleConfig
from ich_cli.core.engines.cache import cache_folder
from ich_cli.core.errors import IchError


class CompiledEngine:
    """A network compiled for one shape: a slice on the CPU, a whole batch on a GPU.

    A batch that is not full is filled up with zeros: another shape would be compiled anew.

    Parameters
    ----------
    model
        On `device`, in eval mode; stays as it is.
    config
        Its bundle's.
    device
        ``cpu`` or ``cuda``.
    batch_size
        Slices at once, on a GPU.
    bf16
        Multiply in bfloat16.

    Raises
    ------
    IchError
        If it cannot be compiled.
    """

    def __init__(
        self,
        model: nn.Module,
        config: BundleConfig,
        device: torch.device,
        batch_size: int,
        *,
        bf16: bool,
    ) -> None:
        # in the user's own folder, not in one of /tmp that anybody could have made
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "inductor"))
        self.step = 1 if device.type == "cpu" else batch_size
        self._kind, self._bf16 = device.type, bf16
        # freezing lets it lay out the weights for the processor once, not at each call
        options: dict[str, Any] = {"freezing": True} if device.type == "cpu" else {}
        self._model = torch.compile(model, dynamic=False, options=options)
        prep = config.preprocess
        example = torch.zeros(self.step, prep.channels, prep.size, prep.size, device=device)
        try:
            self(example.contiguous(memory_format=torch.channels_last))
        except Exception as error:  # whatever the compilers raise
            first = str(error).strip().partition("\n")[0]
            raise IchError(
                f"torch.compile cannot compile {config.architecture} ({type(error).__name__}: "
                f"{first}); use --engine torch"
            ) from error

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return logits ``(N, 6)``."""
        count = len(inputs)
        if count < self.step:
            empty = inputs.new_zeros(self.step - count, *inputs.shape[1:])
            inputs = torch.cat([inputs, empty]).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), torch.autocast(self._kind, torch.bfloat16, self._bf16):
            return cast(Tensor, self._model(inputs))[:count]
