"""``ich info``: versions, devices, engines, the model in use and the DICOM decoders."""

from __future__ import annotations

import json as json_text
import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ich_cli._version import __version__
from ich_cli.core.errors import IchError
from ich_cli.core.labels import RESEARCH_ONLY
from ich_cli.terminal import Json, Weights, plain, stdout, warn

if TYPE_CHECKING:
    from rich.console import OverflowMethod

    from ich_cli.core.bundle import LoadedBundle

_PACKAGES = (
    "torch", "timm", "torchvision", "numpy", "opencv-python-headless", "pydicom", "imagecodecs",
    "grad-cam", "safetensors", "huggingface-hub", "gradio",
)  # fmt: skip
_SHORT_VERSIONS = ("python", "torch", "timm", "pydicom", "gradio")
_MAX_DEVICES = 4

Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show all versions, metrics and decoders.")
]


def info(weights: Weights = None, verbose: Verbose = False, json: Json = False) -> None:
    """Show versions, devices, the model in use and the DICOM decoders.

    The exit code is 1 if a bundle named with --weights or ICH_WEIGHTS cannot be loaded.

    Example: ich info --verbose
    """
    facts = _collect(weights)
    if json:
        typer.echo(json_text.dumps(facts, indent=2))
    elif verbose:
        _print_all(facts)
    else:
        _print_summary(facts)
    error = facts["bundle"].get("error")
    if error and (weights or os.environ.get("ICH_WEIGHTS")):
        raise IchError(error)
    if facts["bundle"].get("caveat"):
        warn(facts["bundle"]["caveat"])


def _collect(weights: str | None) -> dict[str, Any]:
    from ich_cli.core.dicom import decoders
    from ich_cli.core.engines import engine_facts
    from ich_cli.core.model import devices, resolve_device
    from ich_cli.core.system import versions

    bundle, about = _bundle(weights)
    return {
        "versions": {"ich": __version__, **versions(_PACKAGES)},
        "devices": devices(),
        "engines": engine_facts(str(resolve_device("auto")), bundle),
        "bundle": about,
        "decoders": decoders(),
        "use": RESEARCH_ONLY,
    }


def _bundle(weights: str | None) -> tuple[LoadedBundle | None, dict[str, Any]]:
    from ich_cli.core.bundle import load_bundle, resolve_weights

    try:
        folder = resolve_weights(weights)
        bundle = load_bundle(folder)
    except IchError as error:
        return None, {"error": str(error)}
    config = bundle.config
    return bundle, {
        "folder": str(folder),
        "architecture": [one.architecture for one in bundle.member_configs],
        "parameters": sum(p.numel() for model in bundle.models for p in model.parameters()),
        **config.to_dict(),
        "preprocess": [one.preprocess.to_dict() for one in bundle.member_configs],
        "caveat": config.caveat,
    }


def _print_summary(facts: dict[str, Any]) -> None:
    """Print at most 24 lines of 80 columns; longer lines are cut."""
    versions, decoders = facts["versions"], facts["decoders"].values()
    missing = [one["name"] for one in decoders if not one["decoder"]]
    lines = {"version": f"ich {versions['ich']}"}
    lines["packages"] = ", ".join(f"{name} {versions[name]}" for name in _SHORT_VERSIONS)
    lines |= _device_lines(facts["devices"][:_MAX_DEVICES])
    lines |= {"engine": facts["engines"]["auto"], **_model_lines(facts["bundle"])}
    lines["decoders"] = (
        f"missing: {', '.join(missing)}" if missing else f"all {len(decoders)} transfer syntaxes"
    )
    _print_lines(lines, wrap=False)
    stdout().print(f"\n[dim]Details: ich info --verbose. {RESEARCH_ONLY}[/dim]")


def _print_all(facts: dict[str, Any]) -> None:
    decoders = {one["name"]: one["decoder"] or "missing" for one in facts["decoders"].values()}
    sections = {
        "Versions": facts["versions"],
        "Devices": _device_lines(facts["devices"]),
        "Engines": facts["engines"],
        "Model": _model_lines(facts["bundle"]) | _metric_lines(facts["bundle"]),
        "DICOM decoders": decoders,
    }
    for title, lines in sections.items():
        stdout().print(f"\n[bold]{title}[/bold]")
        _print_lines(lines, wrap=True)
    stdout().print(f"\n[dim]{RESEARCH_ONLY}[/dim]")


def _print_lines(lines: dict[str, Any], *, wrap: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column()
    overflow: OverflowMethod = "fold" if wrap else "ellipsis"
    for name, value in lines.items():
        text = Text(plain(str(value)), overflow=overflow, no_wrap=not wrap)
        table.add_row(Text(f"  {name}"), text)
    stdout().print(table)


def _device_lines(devices: list[str]) -> dict[str, str]:
    return {name: about for name, _, about in (one.partition(": ") for one in devices)}


def _model_lines(bundle: dict[str, Any]) -> dict[str, Any]:
    if "error" in bundle:
        return {"model": f"not usable: {bundle['error']}"}
    training, metrics = bundle["training"], bundle["metrics"]
    prep = bundle["preprocess"][0]
    windows = ", ".join(f"{center:g}/{width:g}" for center, width in prep["windows"])
    context = f", {prep['context']} neighbours per side" if prep["context"] else ""
    lines = {
        "model": bundle["folder"],
        "architecture": ", ".join(bundle["architecture"]),
        "parameters": f"{bundle['parameters'] / 1e6:.1f} million",
        "input": f"{prep['preset']}, {prep['size']} px, windows {windows}{context}",
        "trained on": training["data"],
        "real CT": "yes" if training["real_ct"] else "no" if training.get("stated", True) else "?",
        "thresholds": ", ".join(f"{k} {v:.3g}" for k, v in bundle["thresholds"].items()),
        "sha256": bundle["sha256"],
    }
    if "labels" in metrics:
        auroc = _short(metrics["labels"]["any"]["auroc"])
        lines["AUROC of any"] = f"{auroc} ({metrics['on']})"
    return lines


def _metric_lines(bundle: dict[str, Any]) -> dict[str, str]:
    return {f"metric {name}": _short(value) for name, value in bundle.get("metrics", {}).items()}


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_short, value))
    return str(value)
