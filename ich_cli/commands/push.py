"""``ich push``: a bundle, and a Space that shows it, to the Hugging Face Hub."""

from __future__ import annotations

import json as json_text
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ich_cli.core.labels import RESEARCH_ONLY
from ich_cli.terminal import Json, Quiet, note, plain, progress, stdout, warn

if TYPE_CHECKING:
    from ich_cli.core.publish import Publication, Pushed, Upload


def push(
    run: Annotated[
        Path | None,
        typer.Argument(help="Folder of a run, or of a bundle.", metavar="RUN", show_default=False),
    ] = None,
    repo: Annotated[
        str | None,
        typer.Argument(help="Where to on the Hub.", metavar="OWNER/NAME", show_default=False),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="A new repository is private.")
    ] = False,
    revision: Annotated[
        str, typer.Option("--revision", metavar="BRANCH", help="Branch; made if there is none.")
    ] = "main",
    tag: Annotated[
        str | None,
        typer.Option(
            "--tag", metavar="NAME", help="Of this version.", show_default="the next of v1, v2 …"
        ),
    ] = None,
    message: Annotated[
        str, typer.Option("--message", "-m", metavar="TEXT", help="Of the commit.")
    ] = "Publish with ich",
    license: Annotated[
        str, typer.Option("--license", metavar="ID", help="Of the weights, as the Hub names it.")
    ] = "apache-2.0",
    space: Annotated[
        str | None,
        typer.Option(
            "--space",
            metavar="OWNER/NAME",
            show_default=False,
            help="Publish the demo too, as this Space; without RUN, for the bundle of that name.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show every file and the card; needs no token.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Publish a bundle, its card and its evaluation on the Hugging Face Hub.

    Only config, weights, card, metrics and figures go, in one commit, with a tag. Checkpoints,
    logs, paths and host names stay. What stands there already is not sent again.

    Example: ich push runs/first owner/name --dry-run
    """
    from ich_cli.core.errors import UsageError
    from ich_cli.core.publish import gather

    if (run is None) != (repo is None) or (run is None and space is None):
        raise UsageError("give RUN and OWNER/NAME, or --space OWNER/NAME alone")
    for one in filter(None, (repo, space)):
        _check_name(one)
    with progress("Checking", unit="", quiet=quiet):
        whole = gather(run, repo, license=license) if run and repo else None
    for text in whole.notes if whole else ():
        warn(text)
    if dry_run:
        _show(whole, repo, space, as_json=json)
        return
    model = _publish(whole, private, revision, message, tag)
    shown = _publish_space(space, model, private, message, quiet) if space else None
    _tell(model, shown, as_json=json)
    note(RESEARCH_ONLY, quiet=quiet)


def _check_name(name: str) -> None:
    from ich_cli.core.bundle import HubId, is_hub_id
    from ich_cli.core.errors import UsageError

    if not is_hub_id(name) or HubId.parse(name) != HubId(name):
        raise UsageError(f"{name}: a repository is owner/name; a branch goes to --revision")


def _publish(
    whole: Publication | None,
    private: bool,
    revision: str,
    message: str,
    tag: str | None,
) -> Pushed | None:
    from ich_cli.core.publish import push as publish

    if whole is None:
        return None
    return publish(  # the Hub's client shows the progress of large files itself
        whole.files, whole.repo, private=private, branch=revision, message=message, tag=tag
    )


def _publish_space(
    space: str, model: Pushed | None, private: bool, message: str, quiet: bool
) -> Pushed:
    from ich_cli.core.bundle import pin
    from ich_cli.core.publish import push_space

    weights = f"{model.repo}@{model.commit}" if model else pin(space)
    if model and model.private:
        note("the bundle is private: give the Space a secret HF_TOKEN that may read it")
    with progress("Publishing the Space", unit="", quiet=quiet):
        return push_space(space, weights, private=private, message=message)


def _show(whole: Publication | None, repo: str | None, space: str | None, *, as_json: bool) -> None:
    from ich_cli.core.publish import space_files

    parts: dict[str, Iterable[Upload]] = {}
    if whole:
        parts[whole.repo] = whole.files
    if space:
        parts[f"spaces/{space}"] = space_files(repo or space)
    if as_json:
        listed: dict[str, Any] = {
            name: [{"path": one.path, "size": one.size} for one in files]
            for name, files in parts.items()
        }
        told: dict[str, Any] = {"files": listed, "card": None, "training": None}
        if whole:
            told |= {"card": whole.card, "training": whole.config.training}
        typer.echo(json_text.dumps(told))
        return
    for name, files in parts.items():
        _print_files(name, files)
    if whole:
        stdout().print("\nREADME.md, the card:\n")
        typer.echo(whole.card)
        stdout().print("config.json, how it was trained:\n")
        typer.echo(json_text.dumps(dict(whole.config.training), indent=2, ensure_ascii=False))
    note("dry run: nothing was sent")


def _print_files(name: str, files: Iterable[Upload]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column(justify="right", style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for one in files:
        table.add_row(f"{one.size:,}", Text(plain(one.path)))
    stdout().print(f"[bold]{name}[/bold], bytes:")
    stdout().print(table)


def _tell(model: Pushed | None, space: Pushed | None, *, as_json: bool) -> None:
    found = {"model": model, "space": space}
    if as_json:
        told = {name: vars(one) for name, one in found.items() if one}
        typer.echo(json_text.dumps(told, indent=2))
        return
    for one in filter(None, found.values()):
        what = f"{len(one.changed)} files" if one.changed else "nothing new: it stood there already"
        version = one.tag or one.commit[:12]
        note(f"{one.repo} {version}: {what}")
        typer.echo(one.url)
    if model:
        note(f"use it: ich predict scan.dcm --weights {model.repo}@{model.tag or model.commit}")
