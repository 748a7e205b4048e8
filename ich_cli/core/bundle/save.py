"""Write a bundle: whole or not at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ich_cli.core.bundle.card import minimal_card
from ich_cli.core.bundle.config import BundleConfig, Calibration
from ich_cli.core.bundle.files import (
    CARD,
    CONFIG,
    SEQUENCE,
    WEIGHTS,
    config_text,
    read_config,
    read_config_values,
)
from ich_cli.core.bundle.load import load_bundle
from ich_cli.core.bundle.resolve import is_hub_id, member_folders, pin
from ich_cli.core.errors import BundleError, OutputError
from ich_cli.core.labels import LABELS
from ich_cli.core.model import SequenceModel, resolve_architecture, save_sequence, write_weights
from ich_cli.core.system import output_error, sha256_of, sum_of_sums


def save_bundle(
    folder: Path,
    model: nn.Module,
    config: BundleConfig,
    card: str | None = None,
    dtype: Literal["float16", "float32"] = "float16",
    sequence: SequenceModel | None = None,
) -> BundleConfig:
    """Write a bundle, whole or not at all; one that stands there is replaced.

    Parameters
    ----------
    folder
        Where; must not exist, be empty, or hold a bundle.
    model
        As `build_model` made it, with six outputs.
    config
        Its checksum is filled in.
    card
        README.md; without one, a short one is made of the config.
    dtype
        Of matrices and kernels. Vectors (biases, batch norms) stay float32.
    sequence
        The second stage, where the config names one.

    Returns
    -------
    BundleConfig
        As it was written.
    """
    config = replace(config, architecture=_plain_name(config.architecture))
    tensors = {key: _stored(key, value, dtype) for key, value in model.state_dict().items()}

    def fill(into: Path) -> BundleConfig:
        write_weights(into / WEIGHTS, tensors)
        written = _with_stage(into, config.with_sha256(sha256_of(into / WEIGHTS)), sequence)
        _write_config(into, _timm_part(model, written) | {"ich": written.to_dict()})
        _write_card(into, written, card)
        return written

    return _write_whole(folder, fill)


def save_ensemble(
    folder: Path,
    members: Sequence[Path | str],
    config: BundleConfig,
    card: str | None = None,
    calibration: Calibration | None = None,
    sequence: SequenceModel | None = None,
) -> BundleConfig:
    """Write an ensemble, whole or not at all.

    Parameters
    ----------
    members
        Folders of single bundles, which are copied into it as ``0``, ``1`` …; or Hub ids, which
        are pinned to the commit that they stand for now.
    config
        Thresholds, training and metrics of the ensemble; its architecture, preprocess and
        calibration are those of the members.
    card
        README.md; without one, a short one is made of the config.
    calibration
        Of the members that are folders, in place of their own.
    sequence
        The second stage over their mean, where the config names one.
    """

    def fill(into: Path) -> BundleConfig:
        names = []
        for index, member in enumerate(members):
            if isinstance(member, str) and is_hub_id(member) and not Path(member).is_dir():
                names.append(pin(member))
                continue
            names.append(str(index))
            (into / str(index)).mkdir()
            for name in (CONFIG, WEIGHTS, CARD):
                if (Path(member) / name).is_file():
                    shutil.copyfile(Path(member) / name, into / str(index) / name)
            if calibration is not None:
                _recalibrate(into / str(index), calibration)
        named = replace(config, architecture="ensemble", members=tuple(names))
        configs = [read_config(one) for one in member_folders(into, named)]
        if any(one.sequence for one in configs):
            raise BundleError(f"{folder}: a member has a sequence stage, which no ensemble uses; "
                              "`ich ensemble --sequence` learns one for all")  # fmt: skip
        sums = [one.sha256 for one in configs]
        written = _with_stage(into, named.with_sha256(sum_of_sums(sums)), sequence)
        head = {"num_classes": len(LABELS), "label_names": list(LABELS)}
        _write_config(into, head | {"ich": written.to_dict()})
        _write_card(into, written, card)
        load_bundle(into)  # members that do not load must not be published
        return written

    return _write_whole(folder, fill)


def _with_stage(into: Path, config: BundleConfig, sequence: SequenceModel | None) -> BundleConfig:
    """Write the second stage, where there is one, and return the config with its checksum."""
    if sequence is None or config.sequence is None:
        return config
    save_sequence(sequence, into / SEQUENCE)
    stage = replace(config.sequence, sha256=sha256_of(into / SEQUENCE))
    return replace(config, sequence=stage)


def _recalibrate(member: Path, calibration: Calibration) -> None:
    config = replace(read_config(member), calibration=calibration)
    _write_config(member, read_config_values(member) | {"ich": config.to_dict()})


def _plain_name(architecture: str) -> str:
    """Return timm's name without its pretrained tag: the weights are our own."""
    return resolve_architecture(architecture).partition(".")[0]


def _stored(key: str, value: Tensor, dtype: str) -> Tensor:
    value = value.detach().cpu().contiguous()
    if not value.is_floating_point():
        return value
    stored = value.to(torch.float16 if dtype == "float16" and value.ndim > 1 else torch.float32)
    if not bool(torch.isfinite(stored).all()):
        raise BundleError(f"{key} holds values that are not finite in {dtype}")
    return stored


def _timm_part(model: nn.Module, config: BundleConfig) -> dict[str, Any]:
    """Return what timm needs to build and load this model by itself."""
    prep, slices = config.preprocess, 2 * config.preprocess.context + 1
    source = getattr(model, "pretrained_cfg", {})
    return {
        "architecture": config.architecture,
        "num_classes": len(LABELS),
        "num_features": getattr(model, "num_features", None),
        "label_names": list(LABELS),
        "model_args": {**config.model_args, "in_chans": prep.channels},
        "pretrained_cfg": {
            "num_classes": len(LABELS),
            "input_size": [prep.channels, prep.size, prep.size],
            "fixed_input_size": bool(source.get("fixed_input_size")),
            "interpolation": "bilinear",
            "crop_pct": 1.0,
            "mean": list(prep.mean) * slices,
            "std": list(prep.std) * slices,
            "first_conv": source.get("first_conv"),
            "classifier": source.get("classifier"),
        },
    }


def _write_whole(folder: Path, fill: Callable[[Path], BundleConfig]) -> BundleConfig:
    """Fill a folder aside, then put it in place, so that no half bundle is ever seen."""
    _check_replaceable(folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as aside:
            new, old = Path(aside) / "new", Path(aside) / "old"
            new.mkdir()
            written = fill(new)
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
    except OSError as error:
        raise output_error(folder, error) from error
    return written


def _check_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{folder}: a file is in the way of the bundle's folder")
    names = {one.name for one in folder.iterdir()} - {".gitkeep"}
    is_bundle = CONFIG in names
    other = [
        n for n in names - {CONFIG, WEIGHTS, SEQUENCE, CARD} if not (is_bundle and n.isdecimal())
    ]
    if other:
        raise OutputError(
            f"{folder}: holds other files ({sorted(other)[0]}); choose another folder"
        )


def _write_config(folder: Path, values: Mapping[str, Any]) -> None:
    (folder / CONFIG).write_text(config_text(values), "utf-8")


def _write_card(folder: Path, config: BundleConfig, card: str | None) -> None:
    (folder / CARD).write_text(minimal_card(config) if card is None else card, "utf-8")
