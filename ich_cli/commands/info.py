"""``ich info``: what is installed, and which model answers."""

from __future__ import annotations

import json as json_text
import os
from typing import TYPE_CHECKING, Any

import typer

from ich_cli._version import __version__
from ich_cli.core.errors import IchError
from ich_cli.core.labels import RESEARCH_ONLY
from ich_cli.terminal import Json, Weights, plain, stdout, warn

_PACKAGES = (
    "torch", "timm", "torchvision", "numpy", "opencv-python-headless", "pydicom", "imagecodecs",
    "grad-cam", "safetensors", "huggingface-hub", "gradio",
)  # fmt: skip

if TYPE_CHECKING:
    from ich_cli.core.bundle import LoadedBundle


def info(weights: Weights = None, json: Json = False) -> None:
    """Tell versions, devices, the model in use and the decoders that are present.

    A bundle that cannot be used is told in one line; the exit code is 1 only if it was named by
    --weights or ICH_WEIGHTS.

    Example: ich info --json
    """
    found = _gather(weights)
    if json:
        typer.echo(json_text.dumps(found, indent=2))
    else:
        _print(found)
    error = found["bundle"].get("error")
    if error and (weights or os.environ.get("ICH_WEIGHTS")):
        raise IchError(error)
    if found["bundle"].get("caveat"):
        warn(found["bundle"]["caveat"])


def _gather(weights: str | None) -> dict[str, Any]:
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


def _print(found: dict[str, Any]) -> None:
    _section("Versions", found["versions"])
    names = [one.partition(": ") for one in found["devices"]]
    _section("Devices", {name: what for name, _, what in names})
    _section("Engines", found["engines"])
    _section("Model", _model_lines(found["bundle"]))
    lines = {one["name"]: one["decoder"] or "missing" for one in found["decoders"].values()}
    _section("DICOM decoders", lines)
    stdout().print(f"\n[dim]{RESEARCH_ONLY}[/dim]")


def _section(title: str, lines: dict[str, Any]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in lines.items():
        table.add_row(Text(f"  {name}"), Text(plain(str(value))))
    stdout().print(f"\n[bold]{title}[/bold]")
    stdout().print(table)


def _model_lines(bundle: dict[str, Any]) -> dict[str, Any]:
    if "error" in bundle:
        return {"not usable": bundle["error"]}
    training = bundle["training"]
    prep = bundle["preprocess"][0]
    windows = ", ".join(f"{center:g}/{width:g}" for center, width in prep["windows"])
    context = f", {prep['context']} neighbours a side" if prep["context"] else ""
    lines = {
        "folder": bundle["folder"],
        "architecture": ", ".join(bundle["architecture"]),
        "parameters": f"{bundle['parameters'] / 1e6:.1f} million",
        "input": f"{prep['preset']}, {prep['size']} px, windows {windows}{context}",
        "trained on": training["data"],
        "real CT": "yes" if training["real_ct"] else "no" if training.get("stated", True) else "?",
        "thresholds": ", ".join(f"{k} {v:.3g}" for k, v in bundle["thresholds"].items()),
        "sha256": bundle["sha256"],
    }
    return lines | {f"metric {k}": _short(v) for k, v in bundle["metrics"].items()}


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {_short(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_short, value))
    return str(value)
