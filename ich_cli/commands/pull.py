"""``ich pull``: download a bundle from the Hugging Face Hub into the cache."""

from __future__ import annotations

import json as json_text
from typing import Annotated, Any

import typer

from ich_cli.core.labels import RESEARCH_ONLY
from ich_cli.terminal import Json, Quiet, note, warn


def pull(
    bundle: Annotated[
        str,
        typer.Argument(
            help="owner/name or owner/name@revision on the Hub; append :rsna or :dlmi (input "
            "preset) to a plain timm classifier.",
            metavar="OWNER/NAME",
            show_default=False,
        ),
    ],
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Download a bundle into the cache and check it, so that --weights works offline.

    Prints the folder. Downloads config, weights and card only, and never a pickle.

    Example: ich pull owner/name@v1
    """
    from ich_cli.core.bundle import fetch, read_config

    folder = fetch(bundle)
    config = read_config(folder)
    found: dict[str, Any] = {
        "bundle": bundle,
        "folder": str(folder),
        "architecture": config.architecture,
        "members": list(config.members),
        "sha256": config.sha256,
        "trained_on": config.training["data"],
    }
    typer.echo(json_text.dumps(found, indent=2) if json else folder)
    what = f"an ensemble of {len(config.members)}" if config.members else config.architecture
    note(f"{what}, trained on {config.training['data']}", quiet=quiet)
    if config.caveat:
        warn(config.caveat)
    note(RESEARCH_ONLY, quiet=quiet)
