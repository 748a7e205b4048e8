"""Import of a plain timm classifier from the Hub as a bundle.

    owner/name:rsna    input preset `rsna`
    owner/name:dlmi    input preset `dlmi`

Image size, mean and std come from its config. It is not calibrated; all thresholds are 0.5.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ich_cli.core.bundle.config import BundleConfig
from ich_cli.core.bundle.files import CONFIG, WEIGHTS, config_text
from ich_cli.core.errors import BundleError
from ich_cli.core.labels import LABELS
from ich_cli.core.preprocessing import DLMI_WINDOWS, PreprocessConfig
from ich_cli.core.system import replacing, sha256_of


def timm_config(values: Mapping[str, Any], preset: str | None, name: str) -> BundleConfig:
    """Return the bundle config for a model that has only a timm config.

    Parameters
    ----------
    values
        Content of its config.json.
    preset
        Input preset, ``rsna`` or ``dlmi``.
    name
        ``owner/name@<commit>``, for the training record.

    Raises
    ------
    BundleError
        If it is not a timm classifier with our six labels, or `preset` is None.
    """
    if not isinstance(values.get("architecture"), str):
        raise BundleError(f"{CONFIG} is neither a bundle config of ich nor a timm config")
    timm = values.get("pretrained_cfg")
    timm = timm if isinstance(timm, dict) else {}
    labels = values.get("label_names", timm.get("label_names"))
    if values.get("num_classes") != len(LABELS) or labels != list(LABELS):
        raise BundleError(
            f"a timm model, but without the {len(LABELS)} labels {', '.join(LABELS)}, in this order"
        )
    if preset is None:
        raise BundleError(
            "a timm model, not a bundle: append :rsna or :dlmi (input preset) to its name"
        )
    return BundleConfig(
        architecture=values["architecture"].partition(".")[0],
        training={"real_ct": False, "data": f"not stated by {name}", "stated": False},
        preprocess=_preprocess(timm, preset),
        model_args=_model_args(values.get("model_args")),
    )


def import_timm(config: BundleConfig, weights: Path, repo: str, commit: str) -> Path:
    """Write the model as a bundle into the cache's assets folder and return the folder."""
    from huggingface_hub import cached_assets_path

    folder = cached_assets_path(
        "ich", namespace=repo, subfolder=f"{commit}-{config.preprocess.preset}"
    )
    config = config.with_sha256(sha256_of(weights))
    _link(weights.resolve(), folder / WEIGHTS)
    with replacing(folder / CONFIG) as file:
        file.write(config_text(_config_values(config)).encode())
    return folder


def _preprocess(timm: Mapping[str, Any], preset: str) -> PreprocessConfig:
    own = PreprocessConfig.dlmi() if preset == "dlmi" else PreprocessConfig()
    shape = timm.get("input_size", [3, own.size, own.size])
    channels = len(DLMI_WINDOWS)  # each preset has three windows
    if not isinstance(shape, list) or len(shape) != 3 or [channels, shape[1]] != shape[::2]:
        raise BundleError(
            f"its input size is {shape}; preset {preset} gives squares with {channels} channels"
        )
    try:
        return replace(
            own, size=int(shape[1]), mean=tuple(timm.get("mean", own.mean)),
            std=tuple(timm.get("std", own.std)),
        )  # fmt: skip
    except (TypeError, ValueError) as error:
        raise BundleError(f"pretrained_cfg is invalid: {error}") from None


def _model_args(given: Any) -> dict[str, Any]:
    args = dict(given) if isinstance(given, dict) else {}
    args.pop("in_chans", None)
    args.pop("num_classes", None)
    return args


def _config_values(config: BundleConfig) -> dict[str, Any]:
    return {
        "architecture": config.architecture,
        "num_classes": len(LABELS),
        "label_names": list(LABELS),
        "model_args": {**config.model_args, "in_chans": config.preprocess.channels},
        "ich": config.to_dict(),
    }


def _link(source: Path, link: Path) -> None:
    """Make `link` a symbolic link to a file, or a copy if the system has no links."""
    if link.exists() and link.resolve() == source:
        return
    link.unlink(missing_ok=True)
    try:
        link.symlink_to(source)
    except OSError:  # Windows without the privilege
        shutil.copyfile(source, link)
