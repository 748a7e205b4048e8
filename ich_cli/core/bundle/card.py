"""Model card of a bundle: training data, metrics, intended use, limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ich_cli.core.bundle.config import BundleConfig
from ich_cli.core.labels import LABELS, RESEARCH_ONLY
from ich_cli.core.study import StudyRule

_COLUMNS: Final = {
    "auroc": "AUROC", "ap": "AP", "f1": "F1", "recall": "sensitivity", "specificity": "specificity",
    "ece": "ECE",
}  # fmt: skip


def minimal_card(config: BundleConfig) -> str:
    """Return a short model card in Markdown."""
    parts = [
        _FRONT_MATTER.format(config.library),
        f"# Intracranial hemorrhage on head CT: {config.architecture}",
        f"**{RESEARCH_ONLY}**" + (f"\n\n**{config.caveat}**" if config.caveat else ""),
        _USES,
        f"## Training data\n\n{config.training['data']}."
        + (f"\n\nSplit: {config.training['split']}." if "split" in config.training else ""),
        "## Performance\n\n" + metrics_text(config.metrics),
        "## Thresholds\n\n" + thresholds_text(config),
        "## Preprocessing\n\n" + input_text(config),
        "## Usage\n\n```\nich predict scan.dcm --weights THIS_FOLDER\n```",
    ]
    return "\n\n".join(parts) + "\n"


_FRONT_MATTER: Final = """---
library_name: {}
pipeline_tag: image-classification
tags: [medical-imaging, ct, intracranial-hemorrhage, multi-label, ich]
---"""

_USES: Final = """## Intended use

Research, teaching, and a starting point for better models. Not for diagnosis, triage or any
decision about a patient: it is not a medical device and has not been tested as one."""


def metrics_text(
    metrics: Mapping[str, Any], intervals: Mapping[str, Sequence[float]] | None = None
) -> str:
    """Return the measured metrics with their data and split; a table for a run with folds.

    Parameters
    ----------
    metrics
        Metrics of the bundle's config.
    intervals
        95 % intervals by name, such as ``any.auroc``, where they are known.
    """
    if "labels" not in metrics:
        lines = [f"- {name}: {value}" for name, value in metrics.items()]
        return "\n".join(lines) or "No metrics were measured."
    head = f"| label | {' | '.join(_COLUMNS.values())} |\n|---|{'---|' * len(_COLUMNS)}"
    rows = [(label, label, metrics["labels"][label]) for label in LABELS]
    rows.append(("mean of subtypes", "macro", metrics["macro"]))
    known = intervals or {}
    body = "\n".join(
        f"| {name} | "
        + " | ".join(_cell(values.get(k), known.get(f"{key}.{k}")) for k in _COLUMNS)
        + " |"
        for name, key, values in rows
    )
    interval = metrics.get("any_auroc_95") or ()
    between = f" (95 % interval {interval[0]:.3f} to {interval[1]:.3f}, " if interval else " ("
    return (
        f"Per slice, on {metrics['on']}: {metrics['slices']} slices of {metrics['patients']} "
        f"patients.{' 95 % intervals in parentheses.' if known else ''}\n\n{head}\n{body}\n\n"
        f"AUROC of `any`: {_number(metrics['labels']['any']['auroc'])} "
        f"per slice{between}bootstrap over patients), {_number(metrics['patient_any_auroc'])} per "
        f"patient. RSNA's weighted log loss: {_number(metrics['weighted_log_loss'])}. F1, "
        "sensitivity and specificity are at the thresholds below, which were chosen on these same "
        "predictions, so they are slightly optimistic."
    )


def thresholds_text(config: BundleConfig) -> str:
    """Return the thresholds in one line, and the study rule if there is one."""
    slices = ", ".join(f"{label} {config.thresholds[label]:.4g}" for label in LABELS)
    return slices + _study_text(config.study)


def _study_text(rule: StudyRule | None) -> str:
    if rule is None:
        return ""
    return (
        f". Studies, by the calibrated {rule.aggregation} of their slices: negative below "
        f"{rule.rule_out:.4g}, positive from {rule.rule_in:.4g}, unsure between"
    )


def _cell(value: float | None, interval: Sequence[float] | None) -> str:
    return _number(value) + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def input_text(config: BundleConfig) -> str:
    """Describe the model's input, and how its output becomes a probability."""
    if config.members:
        return f"See the cards of its {len(config.members)} members."
    own = config.preprocess
    windows = ", ".join(f"{w.center:g}/{w.width:g}" for w in own.windows)
    around = f", with {own.context} neighbours on each side" if own.context else ""
    return (
        f"Preset `{own.preset}`: HU windows {windows} as channels{around}, head crop, padded to a "
        f"square, {own.size} px, (x / 255 - mean) / std with mean {list(own.mean)} and std "
        f"{list(own.std)}. Probability = sigmoid(logit / T + b) with the calibration in "
        "`config.json`."
    )
