"""Sequence model: a second stage over the logits of all slices of a series.

Neighbouring slices usually share a hemorrhage. The model's only input are slice logits, and it is
fitted on out-of-fold predictions, as a calibration is, never on logits of slices that the network
was trained on. It is initialized close to the identity.

* ``smooth``: a symmetric kernel over five slices, shared by all labels: three parameters.
* ``gru``: also a residual from a bidirectional GRU over logits and position; needs many patients.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from ich_cli.core.errors import BundleError
from ich_cli.core.labels import LABELS
from ich_cli.core.model.weights import read_weights, write_weights

SequenceKind = Literal["smooth", "gru"]
KINDS: Final[tuple[str, ...]] = get_args(SequenceKind)

_HIDDEN: Final = 16
_EPOCHS: Final = 20
_BATCH: Final = 16  # series
_NOISE: Final = 0.3  # standard deviation of noise added to logits, as regularization
_LABEL_WEIGHTS: Final = (2.0, 1.0, 1.0, 1.0, 1.0, 1.0)


class SequenceModel(nn.Module):
    """Network from the logits of whole series to smoothed logits.

    Parameters
    ----------
    kind
        ``smooth`` or ``gru``.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, kind: SequenceKind) -> None:
        super().__init__()
        self.kind = kind
        self.taps = nn.Parameter(
            torch.tensor([2.0, 1.0, 0.0])
        )  # weights at a distance of 0, 1 and 2 slices
        self.register_buffer("mean", torch.zeros(len(LABELS)))
        self.register_buffer("std", torch.ones(len(LABELS)))
        if kind == "gru":
            self.enter = nn.Linear(len(LABELS) + 1, _HIDDEN)
            self.gru = nn.GRU(_HIDDEN, _HIDDEN, batch_first=True, bidirectional=True)
            self.leave = nn.Linear(2 * _HIDDEN, len(LABELS))
            self.drop = nn.Dropout(0.3)
            nn.init.zeros_(self.leave.weight)
            nn.init.zeros_(self.leave.bias)

    def forward(self, logits: Tensor, lengths: Tensor) -> Tensor:
        """Return logits ``(N, T, 6)`` of series padded to T slices.

        Parameters
        ----------
        logits
            float32 ``(N, T, 6)`` of the slice model; values beyond a series' end are ignored.
        lengths
            Number of slices of each series, int64 ``(N,)``, on the CPU.
        """
        inside = (torch.arange(logits.shape[1]) < lengths[:, None])[..., None]
        smooth = self._smooth(torch.where(inside, logits, 0.0), inside)
        return smooth + self._residual(logits, lengths) if self.kind == "gru" else smooth

    def _smooth(self, logits: Tensor, inside: Tensor) -> Tensor:
        """Return the weighted mean of neighbouring slices, normalized at the ends of a series."""
        kernel = torch.softmax(self.taps[[2, 1, 0, 1, 2]], 0)[None, None]
        n, slices, labels = logits.shape
        columns = logits.transpose(1, 2).reshape(n * labels, 1, slices)
        total = functional.conv1d(columns, kernel, padding=2).view(n, labels, slices)
        weight = functional.conv1d(inside.transpose(1, 2).float(), kernel, padding=2)
        return (total / weight.clamp(min=1e-6)).transpose(1, 2)

    def _residual(self, logits: Tensor, lengths: Tensor) -> Tensor:
        slices = logits.shape[1]
        position = torch.arange(slices) / (lengths[:, None] - 1).clamp(min=1)
        from_middle = (2 * position - 1).abs()[
            ..., None
        ]  # symmetric: the direction of the series is ignored
        scaled = (logits - self.mean) / self.std
        hidden = self.drop(torch.relu(self.enter(torch.cat([scaled, from_middle], 2))))
        packed = nn.utils.rnn.pack_padded_sequence(
            hidden, lengths, batch_first=True, enforce_sorted=False
        )
        out, _ = nn.utils.rnn.pad_packed_sequence(
            self.gru(packed)[0], batch_first=True, total_length=slices
        )
        return cast(Tensor, self.leave(self.drop(out)))

    def apply_to(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the logits ``(T, 6)`` of one series, averaged over both directions.

        Parameters
        ----------
        logits
            ``(T, 6)`` of the slice model, in anatomical order; T of at least 1.
        """
        if len(logits) == 1:
            return logits
        both = torch.from_numpy(np.stack([logits, logits[::-1]]).astype(np.float32))
        with torch.inference_mode():
            one, other = self(both, torch.tensor([len(logits)] * 2)).double()
        mean: NDArray[np.float64] = ((one + other.flip(0)) / 2).numpy()
        return mean


def fit_sequence_model(
    logits: NDArray[np.float32],
    labels: NDArray[np.float32],
    series: Sequence[NDArray[np.int64]],
    kind: SequenceKind,
    seed: int = 0,
) -> SequenceModel:
    """Fit a sequence model.

    Parameters
    ----------
    logits, labels
        float32 ``(N, 6)``; the logits out of fold. Labels that are NaN do not count.
    series
        Rows of each series to fit on, in anatomical order.
    kind
        ``smooth`` or ``gru``.
    seed
        Seed of order, noise and initial weights.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SequenceModel(kind)
        known = torch.from_numpy(logits[np.concatenate(series)])
        model.mean.copy_(known.mean(0))
        model.std.copy_(known.std(0).clamp(min=1e-3))
        rest = [p for p in model.parameters() if p is not model.taps]
        groups = [
            {"params": [model.taps], "lr": 0.05, "weight_decay": 0.0},
            *([{"params": rest, "lr": 1e-3, "weight_decay": 1.0}] if rest else []),
        ]
        optimizer = torch.optim.AdamW(groups)
        steps = _EPOCHS * -(-len(series) // _BATCH)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(_EPOCHS):
            for few in torch.split(torch.randperm(len(series)), _BATCH):
                loss = _loss(model, *_padded(logits, labels, [series[i] for i in few.tolist()]))
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                scheduler.step()
    return model.eval()


def _padded(
    logits: NDArray[np.float32], labels: NDArray[np.float32], series: Sequence[NDArray[np.int64]]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return padded logits and labels ``(N, T, 6)`` and lengths; series are reversed at random."""
    lengths = torch.tensor([len(rows) for rows in series])
    x, y = torch.zeros(2, len(series), int(lengths.max()), len(LABELS))
    for index, rows in enumerate(series):
        directed = rows[::-1] if torch.rand(()) < 0.5 else rows
        x[index, : len(rows)] = torch.from_numpy(logits[directed])
        y[index, : len(rows)] = torch.from_numpy(labels[directed])
    return x, y, lengths


def _loss(model: SequenceModel, x: Tensor, y: Tensor, lengths: Tensor) -> Tensor:
    inside = (torch.arange(x.shape[1]) < lengths[:, None])[..., None] & ~y.isnan()
    out = model(x + _NOISE * torch.randn_like(x), lengths)
    weights = torch.tensor(_LABEL_WEIGHTS)
    each = functional.binary_cross_entropy_with_logits(out, y.nan_to_num(), reduction="none")
    return (each * weights * inside).sum() / (inside * weights).sum().clamp(min=1e-6)


def save_sequence(model: SequenceModel, path: Path) -> None:
    """Write the weights as float32 safetensors."""
    write_weights(path, {k: v.contiguous() for k, v in model.state_dict().items()})


def load_sequence(kind: SequenceKind, path: Path) -> SequenceModel:
    """Read the weights with strict checks.

    Raises
    ------
    BundleError
        If the file is missing or damaged, has other keys or shapes, or non-finite values.
    """
    model, tensors = SequenceModel(kind), read_weights(path)
    wanted = model.state_dict()
    for key in sorted(wanted.keys() | tensors.keys()):
        if key not in wanted or key not in tensors or wanted[key].shape != tensors[key].shape:
            raise BundleError(f"{path}: {key} does not fit a sequence model of kind {kind}")
        if not bool(torch.isfinite(tensors[key]).all()):
            raise BundleError(f"{path}: {key} has values that are not finite")
    model.load_state_dict(tensors)
    return model.eval()
