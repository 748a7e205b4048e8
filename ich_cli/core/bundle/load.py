"""Strict loading of a bundle from a folder; no file content is trusted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ich_cli.core.bundle.config import BundleConfig
from ich_cli.core.bundle.download import member_folders
from ich_cli.core.bundle.files import CARD, CONFIG, SEQUENCE, WEIGHTS, read_config
from ich_cli.core.errors import BundleError, IchError
from ich_cli.core.model import (
    MODEL_ARGS,
    PICKLE_SUFFIXES,
    SequenceModel,
    build_model,
    check_safetensors,
    compare_keys,
    load_sequence,
    read_shapes,
    read_weights,
    resolve_architecture,
)
from ich_cli.core.system import sha256_of, sum_of_sums

_RANDOM_INITIALIZERS: Final = frozenset(["normal_", "uniform_", "trunc_normal_"])


@dataclass(frozen=True, eq=False)
class LoadedBundle:
    """Bundle in memory."""

    config: BundleConfig
    models: tuple[nn.Module, ...]
    """Networks in eval mode, float32, on the CPU: one, or one per member."""
    member_configs: tuple[BundleConfig, ...]
    """Config of each network; for a single model, `config` itself."""
    card: str
    path: Path
    sequence: SequenceModel | None = None
    """Second stage over whole series, on the CPU."""

    @property
    def members(self) -> tuple[tuple[nn.Module, BundleConfig], ...]:
        """Each model with its config."""
        return tuple(zip(self.models, self.member_configs, strict=True))


def load_bundle(folder: Path) -> LoadedBundle:
    """Load a bundle from a folder.

    Raises
    ------
    BundleError
        Names the file, and the key if there is one. The config is missing or invalid, or the
        weights are missing, a pickle, damaged, not finite, or do not match config or architecture.
    """
    folder = Path(folder)
    config = read_config(folder)
    card = (folder / CARD).read_text("utf-8", "replace") if (folder / CARD).is_file() else ""
    if not config.members:
        model = _load_model(folder, config)
        return LoadedBundle(
            config, (model,), (config,), card, folder, _load_sequence(folder, config)
        )
    folders = member_folders(folder, config)
    configs = tuple(read_config(one) for one in folders)
    if any(one.members for one in configs):
        raise BundleError(f"{folder / CONFIG}: a member is itself an ensemble")
    if sum_of_sums([one.sha256 for one in configs]) != config.sha256:
        raise BundleError(f"{folder / CONFIG}: ich.sha256 does not match its members")
    models = tuple(_load_model(one, its) for one, its in zip(folders, configs, strict=True))
    config = replace(config, preprocess=configs[0].preprocess)
    return LoadedBundle(config, models, configs, card, folder, _load_sequence(folder, config))


def _load_model(folder: Path, config: BundleConfig) -> nn.Module:
    path = _weights_file(folder)
    check_safetensors(path)
    if sha256_of(path) != config.sha256:
        raise BundleError(f"{path}: the checksum is not that in {CONFIG} (ich.sha256)")
    try:
        _compare_shapes(path, config)
        with _NoRandomInitialization():
            model = build_model(
                config.architecture, in_chans=config.preprocess.channels, **config.model_args
            )
    except IchError as error:
        raise BundleError(f"{folder}: {error}") from error
    tensors = read_weights(path)
    for key, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise BundleError(f"{path}: {key} has values that are not finite")
    wanted = model.state_dict()
    mismatch = compare_keys(shapes(tensors), shapes(wanted)) or _dtype_mismatch(tensors, wanted)
    if mismatch:
        raise BundleError(f"{path}: {mismatch}")
    model.load_state_dict(tensors, strict=False)  # compared above; float16 becomes float32 here
    return model.eval()


class _NoRandomInitialization(TorchFunctionMode):
    """Skip random initialization while a network is built, since a file has its weights.

    On the meta device, random initialization would also import torch's compiler.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        if getattr(func, "__name__", "") in _RANDOM_INITIALIZERS:
            return args[0] if args else named["tensor"]
        return func(*args, **named)


def _load_sequence(folder: Path, config: BundleConfig) -> SequenceModel | None:
    if config.sequence is None:
        return None
    path = folder / SEQUENCE
    check_safetensors(path)
    if sha256_of(path) != config.sequence.sha256:
        raise BundleError(f"{path}: the checksum is not that in {CONFIG} (ich.sequence.sha256)")
    return load_sequence(config.sequence.kind, path)


def _dtype_mismatch(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """Describe the first tensor that is integer where the model has floats, or vice versa."""
    for key, value in found.items():
        if value.is_floating_point() != wanted[key].is_floating_point() or value.is_complex():
            kinds = [str(one.dtype).removeprefix("torch.") for one in (value, wanted[key])]
            return f"{key} is {kinds[0]}, not {kinds[1]}"
    return ""


def _weights_file(folder: Path) -> Path:
    if (folder / WEIGHTS).is_file():
        return folder / WEIGHTS
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in PICKLE_SUFFIXES:
            raise BundleError(
                f"{path}: refused: a pickle can run code when it is loaded; ask its author for "
                f"{WEIGHTS}"
            )
    raise BundleError(f"{folder}: no {WEIGHTS}")


def _compare_shapes(path: Path, config: BundleConfig) -> None:
    """Compare names and shapes before any memory is allocated."""
    resolve_architecture(config.architecture)
    unknown = sorted(set(config.model_args) - MODEL_ARGS)
    if unknown:  # `pretrained` would download, others would read files
        raise BundleError(f"model_args not allowed: {', '.join(unknown)}")
    try:
        with torch.device("meta"), _NoRandomInitialization():
            empty = build_model(
                config.architecture, in_chans=config.preprocess.channels, **config.model_args
            )
    except IchError as error:
        if isinstance(error.__cause__, NotImplementedError):
            return  # a few backbones compute with values in their constructor
        raise
    mismatch = compare_keys(read_shapes(path), shapes(empty.state_dict()))
    if mismatch:
        raise BundleError(f"{WEIGHTS} does not fit {config.architecture}: {mismatch}")


def shapes(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor."""
    return {key: tuple(value.shape) for key, value in tensors.items()}
