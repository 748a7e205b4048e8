"""What a bundle's config.json says: timm's hub schema on top, our own part under ``ich``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, cast

import numpy as np
from numpy.typing import NDArray

from ich_cli.core.errors import BundleError
from ich_cli.core.labels import LABELS
from ich_cli.core.preprocessing import PreprocessConfig
from ich_cli.core.study import StudyRule, sigmoid
from ich_cli.core.system import is_number

FORMAT: Final = 1

SixFloats = tuple[float, float, float, float, float, float]

_OWN_KEYS: Final = frozenset(
    ("format", "preprocess", "calibration", "thresholds", "training", "metrics", "sha256")
)
_OPTIONAL_KEYS: Final = frozenset(("study", "sequence", "calibration"))
_ENSEMBLE_KEYS: Final = (_OWN_KEYS - {"preprocess", "calibration"}) | {"members"}


@dataclass(frozen=True)
class Calibration:
    """From logits to probabilities that can be taken at their word: sigmoid(logit / T + b)."""

    temperature: SixFloats = (1.0,) * 6
    """T, positive, one a label."""
    bias: SixFloats = (0.0,) * 6
    """b, one a label."""

    def __post_init__(self) -> None:
        for name in ("temperature", "bias"):
            object.__setattr__(self, name, _six(getattr(self, name), f"calibration.{name}"))
        if min(self.temperature) <= 0:
            raise BundleError("calibration.temperature must be positive")


@dataclass(frozen=True)
class SequenceConfig:
    """Of the second stage over whole series; its weights are ``sequence.safetensors``."""

    kind: Literal["smooth", "gru"]
    calibration: Calibration = field(default_factory=Calibration)
    """Of its logits; the bundle's other one is for slices without a series."""
    sha256: str = ""
    """Of its weights. Filled in on saving."""

    def __post_init__(self) -> None:
        if self.kind not in ("smooth", "gru"):
            raise BundleError("sequence.kind is smooth or gru")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "kind": self.kind, "calibration": _calibration_dict(self.calibration),
            "sha256": self.sha256,
        }  # fmt: skip

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SequenceConfig:
        """Read what `to_dict` wrote; BundleError names the key that is wrong."""
        _check_keys(values, frozenset(("kind", "calibration", "sha256")), "ich.sequence.")
        calibration = _read_calibration(values["calibration"], "ich.sequence.calibration")
        sha256 = _text(values["sha256"], "ich.sequence.sha256")
        return cls(cast(Any, values["kind"]), calibration, sha256)


def default_thresholds() -> dict[str, float]:
    """Return 0.5 for every label: what an uncalibrated model is cut at."""
    return dict.fromkeys(LABELS, 0.5)


@dataclass(frozen=True)
class BundleConfig:
    """All of a model but its weights."""

    architecture: str
    """timm's name; ``ensemble`` where there are members."""
    training: Mapping[str, Any]
    """How it came to be; holds at least ``real_ct`` (bool) and ``data`` (what it learned from)."""
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    model_args: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the backbone besides its input channels and outputs."""
    calibration: Calibration = field(default_factory=Calibration)
    """Of its logits; of an ensemble, of the mean of its members', see `pools_logits`."""
    thresholds: Mapping[str, float] = field(default_factory=default_thresholds)
    """Probability from which a label counts as positive, in [0, 1]."""
    study: StudyRule | None = None
    """How slices become the answer for a study; None: derived from the threshold of `any`."""
    sequence: SequenceConfig | None = None
    """The second stage over whole series; None: there is none."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """What it reached, on what; for people and cards."""
    label_names: tuple[str, ...] = LABELS
    sha256: str = ""
    """Of model.safetensors; of an ensemble, of its members' sums. Filled in on saving."""
    members: tuple[str, ...] = ()
    """Of an ensemble: subfolders, or Hub ids pinned as ``owner/name@<commit>``."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label_names", tuple(self.label_names))
        object.__setattr__(self, "members", tuple(self.members))
        if self.label_names != LABELS:
            raise BundleError(f"label_names must be {', '.join(LABELS)}, in this order")
        object.__setattr__(self, "thresholds", _thresholds(self.thresholds))
        _check_training(self.training)

    @property
    def library(self) -> str:
        """Who can build the model: ``timm``, or ``ich`` where timm alone cannot."""
        plain = not self.members and self.model_args.get("head", "linear") == "linear"
        return "timm" if plain else "ich"

    @property
    def pools_logits(self) -> bool:
        """Whether one calibration serves the mean of all logits: not, each member has its own."""
        return not self.members or self.calibration != Calibration() or self.sequence is not None

    @property
    def caveat(self) -> str:
        """What must stand beside its probabilities; empty where they come from real CT."""
        if self.training["real_ct"]:
            return ""
        if self.training.get("stated") is False:
            return (
                f"What these weights learned from is {self.training['data']}, and they are not "
                "calibrated: take their probabilities as an order at most."
            )
        return (
            f"These weights never saw a real CT (trained on {self.training['data']}): "
            "their probabilities say nothing about a patient."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the own part of config.json, plain JSON types."""
        own: dict[str, Any] = {"format": FORMAT}
        if self.members:
            own["members"] = list(self.members)
        else:
            own["preprocess"] = self.preprocess.to_dict()
        if self.pools_logits:
            own["calibration"] = _calibration_dict(self.calibration)
        return own | {
            "thresholds": dict(self.thresholds),
            **({"study": self.study.to_dict()} if self.study else {}),
            **({"sequence": self.sequence.to_dict()} if self.sequence else {}),
            "training": dict(self.training),
            "metrics": dict(self.metrics),
            "sha256": self.sha256,
        }

    def with_sha256(self, sha256: str) -> BundleConfig:
        """Return the same with the checksum filled in."""
        return replace(self, sha256=sha256)

    @classmethod
    def from_json(cls, values: Any) -> BundleConfig:
        """Read a parsed config.json.

        Raises
        ------
        BundleError
            Names the key that is missing, unknown, or of the wrong type or range.
        """
        whole = _mapping(values, "the whole")
        if "ich" not in whole:
            raise BundleError('the key "ich" is missing: a model, but not a bundle of ich')
        own = _mapping(whole["ich"], "ich")
        if own.get("format") != FORMAT:
            raise BundleError(
                f"ich.format is {own.get('format')!r}; this version reads format {FORMAT}"
            )
        _check_keys(own, _ENSEMBLE_KEYS if "members" in own else _OWN_KEYS)
        shared: dict[str, Any] = {
            "thresholds": _mapping(own["thresholds"], "ich.thresholds"),
            "study": _study(own),
            "sequence": _sequence(own),
            "training": _mapping(own["training"], "ich.training"),
            "metrics": _mapping(own["metrics"], "ich.metrics"),
            "sha256": _text(own["sha256"], "ich.sha256"),
            "label_names": _texts(whole.get("label_names"), "label_names"),
        }
        if "members" in own:
            members = _texts(own["members"], "ich.members")
            if not members:
                raise BundleError("ich.members is empty")
            if "sequence" in own and "calibration" not in own:
                raise BundleError("the key ich.calibration is missing: of slices without a series")
            if "calibration" in own:
                shared["calibration"] = _read_calibration(own["calibration"], "ich.calibration")
            return cls(architecture="ensemble", members=members, **shared)
        return cls._single(whole, own, shared)

    @classmethod
    def _single(
        cls, whole: Mapping[str, Any], own: Mapping[str, Any], shared: dict[str, Any]
    ) -> BundleConfig:
        preprocess = _preprocess(_mapping(own["preprocess"], "ich.preprocess"))
        args = dict(_mapping(whole.get("model_args", {}), "model_args"))
        if args.pop("in_chans", 3) != preprocess.channels:
            raise BundleError(
                f"model_args.in_chans does not fit ich.preprocess: {preprocess.channels} channels"
            )
        if whole.get("num_classes") != len(LABELS):
            raise BundleError(f"num_classes must be {len(LABELS)}")
        return cls(
            architecture=_text(whole.get("architecture"), "architecture"),
            model_args=args,
            preprocess=preprocess,
            calibration=_read_calibration(own["calibration"], "ich.calibration"),
            **shared,
        )


def _calibration_dict(calibration: Calibration) -> dict[str, Any]:
    return {"temperature": list(calibration.temperature), "bias": list(calibration.bias)}


def _read_calibration(value: Any, name: str) -> Calibration:
    values = _mapping(value, name)
    _check_keys(values, frozenset(("temperature", "bias")), f"{name}.")
    return Calibration(values["temperature"], values["bias"])


def _sequence(own: Mapping[str, Any]) -> SequenceConfig | None:
    if "sequence" not in own:
        return None
    return SequenceConfig.from_dict(_mapping(own["sequence"], "ich.sequence"))


def _study(own: Mapping[str, Any]) -> StudyRule | None:
    return StudyRule.from_dict(_mapping(own["study"], "ich.study")) if "study" in own else None


def _check_keys(values: Mapping[str, Any], wanted: frozenset[str], under: str = "ich.") -> None:
    allowed = wanted | _OPTIONAL_KEYS if under == "ich." else wanted
    missing, unknown = sorted(wanted - set(values)), sorted(set(values) - allowed)
    if missing:
        raise BundleError(f"the key {under}{missing[0]} is missing")
    if unknown:
        raise BundleError(f"the key {under}{unknown[0]} is unknown to this version")


def _check_training(training: Mapping[str, Any]) -> None:
    if not isinstance(training.get("real_ct"), bool):
        raise BundleError("training.real_ct must be true or false")
    if not isinstance(training.get("data"), str) or not training["data"].strip():
        raise BundleError("training.data must say what the model learned from")


def _thresholds(values: Mapping[str, Any]) -> dict[str, float]:
    if set(values) != set(LABELS):
        raise BundleError(f"thresholds must have one value for each of {', '.join(LABELS)}")
    for label, value in values.items():
        if not is_number(value) or not 0 <= value <= 1:
            raise BundleError(f"thresholds.{label} must lie in 0 … 1")
    return {label: float(values[label]) for label in LABELS}


def _six(values: Any, name: str) -> tuple[float, ...]:
    if not isinstance(values, list | tuple) or len(values) != len(LABELS):
        raise BundleError(f"{name} must have {len(LABELS)} numbers")
    if not all(is_number(value) for value in values):
        raise BundleError(f"{name} must have finite numbers")
    return tuple(float(value) for value in values)


def _mapping(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BundleError(f"{name} must be an object")
    return value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value:
        raise BundleError(f"{name} must be a text")
    return value


def _texts(value: Any, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise BundleError(f"{name} must be a list of texts")
    return tuple(value)


def calibrate(logits: NDArray[np.float64], calibration: Calibration) -> NDArray[np.float64]:
    """Return ``sigmoid(logits / temperature + bias)``, label by label.

    Parameters
    ----------
    logits
        ``(N, 6)``.
    calibration
        Temperature and bias of each label.

    Returns
    -------
    numpy.ndarray
        float64 ``(N, 6)`` in [0, 1].
    """
    return sigmoid(logits / np.asarray(calibration.temperature) + np.asarray(calibration.bias))


def _preprocess(values: Mapping[str, Any]) -> PreprocessConfig:
    try:
        return PreprocessConfig.from_dict(values)
    except ValueError as error:
        raise BundleError(str(error)) from None
