"""Atomic writing of bundles and ensembles."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ich_cli.core.bundle.card import minimal_card
from ich_cli.core.bundle.config import BundleConfig, Calibration
from ich_cli.core.bundle.download import member_folders, pin
from ich_cli.core.bundle.files import (
    CARD,
    CONFIG,
    SEQUENCE,
    WEIGHTS,
    config_text,
    read_config,
    read_config_values,
)
from ich_cli.core.bundle.hub_id import is_hub_id
from ich_cli.core.bundle.load import load_bundle
from ich_cli.core.errors import BundleError, OutputError
from ich_cli.core.labels import LABELS
from ich_cli.core.model import SequenceModel, resolve_architecture, save_sequence, write_weights
from ich_cli.core.system import replacing_folder, sha256_of, sum_of_sums


def save_bundle(
    folder: Path,
    model: nn.Module,
    config: BundleConfig,
    card: str | None = None,
    dtype: Literal["float16", "float32"] = "float16",
    sequence: SequenceModel | None = None,
) -> BundleConfig:
    """Write a bundle atomically; an existing bundle is replaced.

    Parameters
    ----------
    folder
        Folder that does not exist, is empty, or holds a bundle.
    model
        Network of `build_model`, with six outputs.
    config
        Config; its checksums are filled in.
    card
        Text of README.md; by default a short one is made from the config.
    dtype
        Data type of matrices and kernels. Vectors (biases, batch norms) stay float32.
    sequence
        Second stage, if the config names one.

    Returns
    -------
    BundleConfig
        The config as written.
    """
    config = replace(config, architecture=_plain_name(config.architecture))
    tensors = {key: _to_stored(key, value, dtype) for key, value in model.state_dict().items()}

    _check_replaceable(folder)
    with replacing_folder(folder) as new:
        write_weights(new / WEIGHTS, tensors)
        written = _write_sequence(new, config.with_sha256(sha256_of(new / WEIGHTS)), sequence)
        _write_config(new, _timm_values(model, written) | {"ich": written.to_dict()})
        _write_card(new, written, card)
    return written


def save_ensemble(
    folder: Path,
    members: Sequence[Path | str],
    config: BundleConfig,
    card: str | None = None,
    calibration: Calibration | None = None,
    sequence: SequenceModel | None = None,
) -> BundleConfig:
    """Write an ensemble atomically; an existing bundle is replaced.

    Parameters
    ----------
    members
        Folders of single bundles, which are copied into it as ``0``, ``1`` …; or Hub ids, which
        are pinned to their current commit.
    config
        Thresholds, training and metrics of the ensemble.
    card
        Text of README.md; by default a short one is made from the config.
    calibration
        New calibration of the members that are folders.
    sequence
        Second stage over the mean logits, if the config names one.
    """
    _check_replaceable(folder)
    with replacing_folder(folder) as new:
        names = [_add_member(new, str(i), one, calibration) for i, one in enumerate(members)]
        named = replace(config, architecture="ensemble", members=tuple(names))
        configs = [read_config(one) for one in member_folders(new, named)]
        if any(one.sequence for one in configs):
            raise BundleError(
                f"{folder}: a member has a sequence stage, which ensembles do not use; "
                "train one for the ensemble with `ich ensemble --sequence`"
            )
        sums = [one.sha256 for one in configs]
        written = _write_sequence(new, named.with_sha256(sum_of_sums(sums)), sequence)
        head = {"num_classes": len(LABELS), "label_names": list(LABELS)}
        _write_config(new, head | {"ich": written.to_dict()})
        _write_card(new, written, card)
        load_bundle(new)  # fails if a member does not load
    return written


def _add_member(
    folder: Path, name: str, member: Path | str, calibration: Calibration | None
) -> str:
    """Copy a member into the ensemble as `name`, or pin its Hub id; return its config entry."""
    if isinstance(member, str) and is_hub_id(member) and not Path(member).is_dir():
        return pin(member)
    copy = folder / name
    copy.mkdir()
    for file in (CONFIG, WEIGHTS, CARD):
        if (Path(member) / file).is_file():
            shutil.copyfile(Path(member) / file, copy / file)
    if calibration is not None:
        config = replace(read_config(copy), calibration=calibration)
        _write_config(copy, read_config_values(copy) | {"ich": config.to_dict()})
    return name


def _write_sequence(
    folder: Path, config: BundleConfig, sequence: SequenceModel | None
) -> BundleConfig:
    """Write the second stage, if there is one, and return the config with its checksum."""
    if sequence is None or config.sequence is None:
        return config
    save_sequence(sequence, folder / SEQUENCE)
    stage = replace(config.sequence, sha256=sha256_of(folder / SEQUENCE))
    return replace(config, sequence=stage)


def _plain_name(architecture: str) -> str:
    """Return timm's model name without the pretrained tag."""
    return resolve_architecture(architecture).partition(".")[0]


def _to_stored(key: str, value: Tensor, dtype: str) -> Tensor:
    value = value.detach().cpu().contiguous()
    if not value.is_floating_point():
        return value
    stored = value.to(torch.float16 if dtype == "float16" and value.ndim > 1 else torch.float32)
    if not bool(torch.isfinite(stored).all()):
        raise BundleError(f"{key} has values that are not finite in {dtype}")
    return stored


def _timm_values(model: nn.Module, config: BundleConfig) -> dict[str, Any]:
    """Return the keys that timm needs to build and load this model without ich."""
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


def _check_replaceable(folder: Path) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{folder}: is a file; choose another folder for the bundle")
    names = {one.name for one in folder.iterdir()} - {".gitkeep"}
    is_bundle = CONFIG in names
    other = [
        n for n in names - {CONFIG, WEIGHTS, SEQUENCE, CARD} if not (is_bundle and n.isdecimal())
    ]
    if other:
        raise OutputError(
            f"{folder}: contains other files ({sorted(other)[0]}); choose another folder"
        )


def _write_config(folder: Path, values: Mapping[str, Any]) -> None:
    (folder / CONFIG).write_text(config_text(values), "utf-8")


def _write_card(folder: Path, config: BundleConfig, card: str | None) -> None:
    (folder / CARD).write_text(minimal_card(config) if card is None else card, "utf-8")
