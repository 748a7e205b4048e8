"""The engine interface and the choice of an engine; imports no torch.

torch in float32 is the reference. Other engines agree with its probabilities to 1e-4 in float32 and
to 0.01 in bfloat16. On a CPU every engine runs slice by slice, so that the result of a slice is the
same to the bit whatever other slices are in its batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

EngineName = Literal["torch", "openvino", "compile"]
ENGINES: Final[tuple[str, ...]] = ("auto", *get_args(EngineName))


class Engine(Protocol):
    """One network, ready to run."""

    batch_size: int
    """Slices that it processes at once; it takes any number."""

    def __call__(self, pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
        """Run the network.

        Parameters
        ----------
        pixels
            uint8 ``(N, C, S, S)``, as `preprocessing.prepare` makes them; the engine scales them.

        Returns
        -------
        numpy.ndarray
            Logits, float64 ``(N, 6)``, before calibration.
        """
        ...


@dataclass(frozen=True)
class Choice:
    """An engine, its precision and the reason for it."""

    name: EngineName
    bf16: bool = False
    """Multiply in bfloat16."""
    why: str = "as requested"

    def __str__(self) -> str:
        return f"{self.name}, {'bfloat16' if self.bf16 else 'float32'}"

    def describe(self) -> str:
        """Return one line for users: engine, precision and reason."""
        return f"engine: {self} ({self.why})"


def fall_back_to_torch(choice: Choice, error: Exception) -> Choice:
    """Return torch in place of an engine that ``auto`` chose and that failed to start."""
    return Choice("torch", why=f"{choice.name} failed: {error}")
