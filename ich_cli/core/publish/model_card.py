"""Model card of a published bundle, rendered from the template `model_card.md`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from ich_cli.core.bundle import BundleConfig, input_text, metrics_text, thresholds_text
from ich_cli.core.errors import BundleError
from ich_cli.core.labels import LABELS, RESEARCH_ONLY

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_METRICS: Final = {  # our key → (metric id of the Hub, display name)
    "auroc": ("roc_auc", "AUROC"),
    "ap": ("average_precision", "average precision"),
    "f1": ("f1", "F1"),
    "recall": ("recall", "sensitivity"),
    "specificity": ("specificity", "specificity"),
    "brier": ("brier_score", "Brier score"),
    "ece": ("expected_calibration_error", "expected calibration error"),
}
_TAGS: Final = ("medical-imaging", "ct", "intracranial-hemorrhage", "multi-label", "ich")
_CITED: Final = {
    "CT-ICH": "Hssayeni MD et al. Intracranial Hemorrhage Segmentation Using a Deep Convolutional "
    "Model. Data 2020;5(1):14. doi 10.3390/data5010014",
    "RSNA": "Flanders AE et al. Construction of a Machine Learning Dataset through Collaboration: "
    "The RSNA 2019 Brain CT Hemorrhage Challenge. Radiology: Artificial Intelligence "
    "2020;2(3):e190211. doi 10.1148/ryai.2020190211",
}
_SOFTWARE: Final = "Wightman R. PyTorch Image Models (timm), 2019. doi 10.5281/zenodo.4414861"
_NOT_RECORDED: Final = "not recorded"


def hub_card(
    config: BundleConfig,
    repo: str,
    template: str,
    *,
    license: str,
    report: Mapping[str, Any] | None = None,
    pictures: Sequence[str] = (),
) -> str:
    """Return the model card in Markdown, with YAML front matter.

    Parameters
    ----------
    config
        Config of the bundle as it is published.
    repo
        ``owner/name``.
    template
        Jinja template, such as `model_card.md`.
    license
        Licence of the weights as a Hub identifier, such as ``apache-2.0``.
    report
        Content of the run's ``metrics.json``, for the intervals.
    pictures
        Paths of the figures in the repository.

    Raises
    ------
    BundleError
        If the template or the front matter is invalid.
    """
    from huggingface_hub import ModelCard, ModelCardData
    from jinja2 import TemplateError

    results = list(_results(config.metrics))
    data = ModelCardData(
        license=license, library_name=config.library, pipeline_tag="image-classification",
        tags=list(_TAGS), metrics=sorted({one.metric_type for one in results}) or None,
        model_name=repo.partition("/")[2], eval_results=results or None,
        co2_eq_emissions=config.training.get("co2_eq_emissions"),
    )  # fmt: skip
    try:
        card = ModelCard.from_template(
            data, template_str=template, **_fields(config, repo, report or {}, pictures)
        )
        ModelCard(str(card))  # validates the front matter
    except (TemplateError, ValueError) as error:
        raise BundleError(f"the model card template is invalid: {error}") from None
    return str(card).rstrip() + "\n"


def _fields(
    config: BundleConfig, repo: str, report: Mapping[str, Any], pictures: Sequence[str]
) -> dict[str, Any]:
    own, training = config.preprocess, config.training
    context = f"one slice and {own.context} neighbours per side" if own.context else "one slice"
    return {
        "repo": repo,
        "architecture": config.architecture,
        "research_only": RESEARCH_ONLY,
        "caveat": config.caveat,
        "data": training["data"].rstrip("."),
        "split": str(training.get("split", _NOT_RECORDED)).rstrip("."),
        "initial": _settings(training).get("init"),
        "figures": metrics_text(config.metrics, report.get("slice", {}).get("intervals")),
        "measured_on": config.metrics.get("on", "data not recorded"),
        "pictures": [(PurePosixPath(path).stem.replace("_", " "), path) for path in pictures],
        "calibration": _calibration(config),
        "thresholds": thresholds_text(config),
        "model_input": input_text(config),
        "members": len(config.members),
        "timm": config.library == "timm",
        "shape": f"(N, {own.channels}, {own.size}, {own.size})",
        "labels": ", ".join(LABELS),
        "context": "the input of its members" if config.members else context,
        "hardware": _hardware(training),
        "citation": _citation(training["data"]),
    }


def _results(metrics: Mapping[str, Any]) -> Iterator[EvalResult]:
    """Yield the metrics of the front matter's model-index, each with its data and split."""
    from huggingface_hub import EvalResult

    data, _, split = str(metrics.get("on", "")).partition(", ")
    for label, values in metrics.get("labels", {}).items():
        for key, (identifier, name) in _METRICS.items():
            value = values.get(key)
            if not isinstance(value, int | float) or not math.isfinite(value):
                continue
            yield EvalResult(
                task_type="image-classification", task_name="intracranial hemorrhage, per slice",
                dataset_type=data.lower().replace(" ", "-") or "unknown",
                dataset_name=data or "unknown", dataset_split=split or None,
                metric_type=identifier, metric_name=f"{name}, {label}", metric_value=value,
            )  # fmt: skip


def _calibration(config: BundleConfig) -> str:
    error = config.metrics.get("labels", {}).get("any", {}).get("ece")
    measured = (
        f" Expected calibration error of `any`: {error:.3f} (on {config.metrics['on']})."
        if isinstance(error, int | float)
        else " The calibration error was not measured."
    )
    if not config.pools_logits:
        return "Each member has its own; the mean is not calibrated again." + measured
    own = config.calibration
    if set(own.temperature) == {1.0} and set(own.bias) == {0.0}:
        return "None: probabilities are the sigmoids of the logits." + measured
    what = "the members' mean logit" if config.members else "logit"
    rows = zip(LABELS, own.temperature, own.bias, strict=True)
    return (
        f"Probability = sigmoid({what} / T + b), with T and b (exact values in `config.json`) "
        + "; ".join(f"{label} {t:.3g}, {b:.3g}" for label, t, b in rows)
        + "."
        + measured
    )


def _hardware(training: Mapping[str, Any]) -> str:
    grams = training.get("co2_eq_emissions")
    hours = training.get("hours")
    precision = _settings(training).get("precision")
    lines = [
        f"- Hardware: {training.get('hardware', _NOT_RECORDED)}",
        f"- Hours: {hours if hours is not None else _NOT_RECORDED}",
        f"- Carbon: {f'{grams} g CO2 equivalent' if grams is not None else _NOT_RECORDED}",
        f"- Precision: {precision or _NOT_RECORDED}",
    ]
    versions = training.get("versions")
    if isinstance(versions, Mapping):
        lines.append("- Software: " + ", ".join(f"{k} {v}" for k, v in versions.items()))
    return "\n".join(lines)


def _citation(data: str) -> str:
    cited = [text for name, text in _CITED.items() if name.lower() in data.lower()]
    return "\n".join(f"- {one}" for one in [*cited, _SOFTWARE])


def _settings(training: Mapping[str, Any]) -> Mapping[str, Any]:
    settings = training.get("config")
    return settings if isinstance(settings, Mapping) else {}
