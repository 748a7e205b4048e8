"""Networks run by PyTorch, and the transfer of pixels to its devices."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ich_cli.core.labels import LABELS
from ich_cli.core.model import to_input
from ich_cli.core.preprocessing import PreprocessConfig


class TorchEngine:
    """A network run by torch.

    On a CPU it runs slice by slice: matrix products of one row and of several differ in the last
    bit, and batches are no faster. On other devices a batch keeps the GPU busy.

    Parameters
    ----------
    model
        On `device`, in eval mode.
    preprocess
        Mean and standard deviation for scaling.
    device
        ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    batch_size
        Slices at once on a GPU.
    bf16
        Multiply in bfloat16 where torch's autocast allows it.
    """

    def __init__(
        self,
        model: nn.Module,
        preprocess: PreprocessConfig,
        device: str,
        batch_size: int,
        *,
        bf16: bool,
    ) -> None:
        self.batch_size = 1 if device == "cpu" else batch_size
        self._model, self._preprocess, self._device = model, preprocess, device
        self._bf16 = bf16

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Return logits, float64 ``(N, 6)``, of uint8 pixels ``(N, C, S, S)``."""
        kind = self._device.partition(":")[0]
        rows = []
        with torch.inference_mode(), torch.autocast(kind, torch.bfloat16, self._bf16):
            for start in range(0, len(pixels), self.batch_size):
                batch = pixels[start : start + self.batch_size]
                inputs = model_input(batch, self._preprocess, self._device)
                rows.append(self._forward(inputs))
        if not rows:
            return np.empty((0, len(LABELS)))
        # copied back at the end: the GPU computes while the next batch is on its way
        return cast("NDArray[np.float64]", torch.cat(rows).double().cpu().numpy())

    def _forward(self, inputs: Tensor) -> Tensor:
        return cast(Tensor, cast(Any, self._model)(inputs))


def model_input(pixels: NDArray[np.uint8], preprocess: PreprocessConfig, device: str) -> Tensor:
    """Move prepared pixels to a device and scale them to a network's input.

    Parameters
    ----------
    pixels
        uint8 ``(N, C, S, S)``, as `preprocessing.prepare` makes them.
    preprocess
        Mean and standard deviation.
    device
        ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.

    Returns
    -------
    torch.Tensor
        float32 ``(N, C, S, S)`` on the device, channels last.
    """
    tensor = torch.from_numpy(np.array(pixels, order="C"))  # torch takes no negative strides
    is_cuda = device.startswith("cuda")
    if is_cuda:  # pinned memory is copied while the GPU still computes
        tensor = tensor.pin_memory()
    moved = tensor.to(device, non_blocking=is_cuda)
    return to_input(moved, preprocess.mean, preprocess.std)


def place_on_device(model: nn.Module, device: str) -> None:
    """Move a model to a device, channels last, without gradients of its parameters."""
    model.to(device, memory_format=torch.channels_last).requires_grad_(False)  # type: ignore[call-overload]


def bf16_hardware(device: str) -> str:
    """Return the hardware feature that multiplies bfloat16 fast; empty where there is none."""
    if device.startswith("cuda"):
        return "bfloat16 cores" if torch.cuda.is_bf16_supported(including_emulation=False) else ""
    if device != "cpu":
        return ""
    checks = (("_is_amx_tile_supported", "AMX"), ("_is_avx512_bf16_supported", "AVX-512 BF16"))
    for check, name in checks:  # private in torch: where one is missing, float32 is taken
        if getattr(torch.cpu, check, bool)():
            return name
    return ""
