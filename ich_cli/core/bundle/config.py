"""Schema of a bundle's config.json: timm's hub schema, with our own part under ``ich``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.bundle.learned_from import LearnedFrom
from ich_cli.core.errors import BundleError
from ich_cli.core.labels import LABELS
from ich_cli.core.preprocessing import PreprocessConfig
from ich_cli.core.study import StudyRule, sigmoid
from ich_cli.core.system import finite_numbers, is_number, require, require_choices, require_keys

FORMAT: Final = 2
FORMATS: Final = (1, 2)
"""Formats that are read; 2 adds optional parts."""

SixFloats = tuple[float, float, float, float, float, float]

_COMMON_KEYS: Final = frozenset(("format", "thresholds", "training", "metrics", "sha256"))
_SINGLE_KEYS: Final = _COMMON_KEYS | {"preprocess", "calibration"}
_ENSEMBLE_KEYS: Final = _COMMON_KEYS | {"members"}
_OPTIONAL_KEYS: Final = frozenset(("study", "sequence", "calibration", "learned_from"))


@dataclass(frozen=True)
class Calibration:
    """Temperature scaling with a bias: probability = sigmoid(logit / T + b), label by label."""

    temperature: SixFloats = (1.0,) * 6
    """T of each label, positive."""
    bias: SixFloats = (0.0,) * 6
    """b of each label."""

    def __post_init__(self) -> None:
        for name in ("temperature", "bias"):
            numbers = finite_numbers(getattr(self, name), len(LABELS), f"calibration.{name}")
            object.__setattr__(self, name, numbers)
        require(min(self.temperature) > 0, "calibration.temperature must be positive", BundleError)

    def apply(self, logits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return calibrated probabilities.

        Parameters
        ----------
        logits
            ``(N, 6)``, labels in the order of `LABELS`.

        Returns
        -------
        numpy.ndarray
            float64 ``(N, 6)`` in [0, 1].
        """
        return sigmoid(logits / np.asarray(self.temperature) + np.asarray(self.bias))

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"temperature": list(self.temperature), "bias": list(self.bias)}

    @classmethod
    def from_dict(cls, values: Any, name: str) -> Calibration:
        """Read what `to_dict` wrote.

        Raises
        ------
        BundleError
            Names the key that is missing, unknown or invalid.
        """
        require_keys(_mapping(values, name), ("temperature", "bias"), prefix=f"{name}.")
        return cls(values["temperature"], values["bias"])


@dataclass(frozen=True)
class SequenceConfig:
    """Second stage over whole series; its weights are in ``sequence.safetensors``."""

    kind: Literal["smooth", "gru"]
    calibration: Calibration = field(default_factory=Calibration)
    """Calibration of this stage's logits. Slices without a series use the bundle's."""
    sha256: str = ""
    """SHA-256 of the stage's weights. Filled in on saving."""

    def __post_init__(self) -> None:
        require_choices(self, BundleError)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "kind": self.kind, "calibration": self.calibration.to_dict(), "sha256": self.sha256,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, values: Any) -> SequenceConfig:
        """Read what `to_dict` wrote.

        Raises
        ------
        BundleError
            Names the key that is missing, unknown or invalid.
        """
        require_keys(
            _mapping(values, "ich.sequence"), ("kind", "calibration", "sha256"),
            prefix="ich.sequence.",
        )  # fmt: skip
        calibration = Calibration.from_dict(values["calibration"], "ich.sequence.calibration")
        return cls(values["kind"], calibration, _text(values["sha256"], "ich.sequence.sha256"))


def default_thresholds() -> dict[str, float]:
    """Return 0.5 for every label, the thresholds of an uncalibrated model."""
    return dict.fromkeys(LABELS, 0.5)


@dataclass(frozen=True)
class BundleConfig:
    """Description of a model: everything but its weights."""

    architecture: str
    """timm's model name; ``ensemble`` if there are members."""
    training: Mapping[str, Any]
    """Record of the training; has at least ``real_ct`` (bool) and ``data`` (name of the data)."""
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    model_args: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the network besides its input channels and outputs."""
    calibration: Calibration = field(default_factory=Calibration)
    """Calibration of the logits; in an ensemble, of the members' mean logit (`pools_logits`)."""
    thresholds: Mapping[str, float] = field(default_factory=default_thresholds)
    """Label → probability in [0, 1] from which it counts as positive."""
    study: StudyRule | None = None
    """Rule that turns slices into a study prediction; None derives it from the `any` threshold."""
    sequence: SequenceConfig | None = None
    """Second stage over whole series, if there is one."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Measured metrics with their data and split, for people and model cards."""
    learned_from: LearnedFrom | None = None
    """Slices and patients that the weights learned from; None where unknown. An ensemble has none
    of its own: those of its members count."""
    label_names: tuple[str, ...] = LABELS
    sha256: str = ""
    """SHA-256 of model.safetensors, or of the members' checksums. Filled in on saving."""
    members: tuple[str, ...] = ()
    """Members of an ensemble: subfolders, or Hub ids pinned as ``owner/name@<commit>``."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label_names", tuple(self.label_names))
        object.__setattr__(self, "members", tuple(self.members))
        names = f"label_names must be {', '.join(LABELS)}, in this order"
        require(self.label_names == LABELS, names, BundleError)
        object.__setattr__(self, "thresholds", _thresholds(self.thresholds))
        _check_training(self.training)

    @property
    def library(self) -> str:
        """Library that can build the model: ``timm``, or ``ich`` if timm alone cannot."""
        plain = not self.members and self.model_args.get("head", "linear") == "linear"
        return "timm" if plain else "ich"

    @property
    def pools_logits(self) -> bool:
        """True if the mean logit is calibrated; False if each member has its own calibration."""
        return not self.members or self.calibration != Calibration() or self.sequence is not None

    @property
    def caveat(self) -> str:
        """Warning to show with the predictions; empty for weights trained on real CT."""
        if self.training["real_ct"]:
            return ""
        if self.training.get("stated") is False:
            return (
                f"The training data of these weights are {self.training['data']}; the weights are "
                "not calibrated: use their probabilities for ranking only."
            )
        return (
            f"These weights never saw a real CT (trained on {self.training['data']}): "
            "their probabilities say nothing about a patient."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the ``ich`` part of config.json, plain JSON types."""
        own: dict[str, Any] = {"format": FORMAT}
        if self.members:
            own["members"] = list(self.members)
        else:
            own["preprocess"] = self.preprocess.to_dict()
        if self.pools_logits:
            own["calibration"] = self.calibration.to_dict()
        return own | {
            "thresholds": dict(self.thresholds),
            **({"study": self.study.to_dict()} if self.study else {}),
            **({"sequence": self.sequence.to_dict()} if self.sequence else {}),
            "training": dict(self.training),
            "metrics": dict(self.metrics),
            **({"learned_from": self.learned_from.to_dict()} if self.learned_from else {}),
            "sha256": self.sha256,
        }

    def with_sha256(self, sha256: str) -> BundleConfig:
        """Return a copy with the checksum filled in."""
        return replace(self, sha256=sha256)

    @classmethod
    def from_json(cls, values: Any) -> BundleConfig:
        """Read a parsed config.json.

        Raises
        ------
        BundleError
            Names the key that is missing, unknown, or of the wrong type or range.
        """
        whole = _mapping(values, "config.json")
        require("ich" in whole, 'the key "ich" is missing: not a bundle of ich', BundleError)
        own = _mapping(whole["ich"], "ich")
        if own.get("format") not in FORMATS:
            raise BundleError(
                f"ich.format is {own.get('format')!r}; this version reads formats 1 and 2"
            )
        required = _ENSEMBLE_KEYS if "members" in own else _SINGLE_KEYS
        require_keys(own, required, _OPTIONAL_KEYS, "ich.")
        shared: dict[str, Any] = {
            "thresholds": _mapping(own["thresholds"], "ich.thresholds"),
            "training": _mapping(own["training"], "ich.training"),
            "metrics": _mapping(own["metrics"], "ich.metrics"),
            "sha256": _text(own["sha256"], "ich.sha256"),
            "label_names": _texts(whole.get("label_names"), "label_names"),
        }
        if "study" in own:
            shared["study"] = StudyRule.from_dict(_mapping(own["study"], "ich.study"))
        if "sequence" in own:
            shared["sequence"] = SequenceConfig.from_dict(own["sequence"])
        if "learned_from" in own:
            shared["learned_from"] = LearnedFrom.from_dict(own["learned_from"])
        if "calibration" in own:
            shared["calibration"] = Calibration.from_dict(own["calibration"], "ich.calibration")
        if "members" not in own:
            return cls._single(whole, own, shared)
        members = _texts(own["members"], "ich.members")
        require(bool(members), "ich.members is empty", BundleError)
        if "sequence" in own:
            require_keys(own, ("calibration",), own, "ich.")  # for slices without a series
        return cls(architecture="ensemble", members=members, **shared)

    @classmethod
    def _single(
        cls, whole: Mapping[str, Any], own: Mapping[str, Any], shared: dict[str, Any]
    ) -> BundleConfig:
        preprocess = _preprocess(_mapping(own["preprocess"], "ich.preprocess"))
        args = dict(_mapping(whole.get("model_args", {}), "model_args"))
        if args.get("head") == "cells":  # name in earlier versions
            args["head"] = "patch"
        if args.pop("in_chans", 3) != preprocess.channels:
            raise BundleError(
                f"model_args.in_chans does not fit ich.preprocess: {preprocess.channels} channels"
            )
        classes = f"num_classes must be {len(LABELS)}"
        require(whole.get("num_classes") == len(LABELS), classes, BundleError)
        return cls(
            architecture=_text(whole.get("architecture"), "architecture"),
            model_args=args,
            preprocess=preprocess,
            **shared,
        )


def _check_training(training: Mapping[str, Any]) -> None:
    data = training.get("data")
    is_bool = isinstance(training.get("real_ct"), bool)
    require(is_bool, "training.real_ct must be true or false", BundleError)
    named = isinstance(data, str) and bool(data.strip())
    require(named, "training.data must name the training data", BundleError)


def _thresholds(values: Mapping[str, Any]) -> dict[str, float]:
    names = ", ".join(LABELS)
    complete = set(values) == set(LABELS)
    require(complete, f"thresholds must have one value for each of {names}", BundleError)
    for label, value in values.items():
        valid = is_number(value) and 0 <= value <= 1
        require(valid, f"thresholds.{label} must lie in 0 … 1", BundleError)
    return {label: float(values[label]) for label in LABELS}


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    require(isinstance(value, dict), f"{name} must be an object", BundleError)
    return cast("Mapping[str, Any]", value)


def _text(value: Any, name: str) -> str:
    require(isinstance(value, str) and value != "", f"{name} must be a text", BundleError)
    return cast(str, value)


def _texts(value: Any, name: str) -> tuple[str, ...]:
    valid = isinstance(value, list) and all(isinstance(one, str) for one in value)
    require(valid, f"{name} must be a list of texts", BundleError)
    return tuple(value)


def _preprocess(values: Mapping[str, Any]) -> PreprocessConfig:
    try:
        return PreprocessConfig.from_dict(values)
    except ValueError as error:
        raise BundleError(str(error)) from None
