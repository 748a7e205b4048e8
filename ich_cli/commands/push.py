"""``ich push``: publish a bundle, and a Space that shows it, on the Hugging Face Hub."""

from __future__ import annotations

import json as json_text
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ich_cli.core.labels import RESEARCH_ONLY
from ich_cli.terminal import Json, Quiet, note, plain, progress, stdout, warn

if TYPE_CHECKING:
    from ich_cli.core.publish import Publication, PushResult, Upload


def push(
    run: Annotated[
        Path | None,
        typer.Argument(help="Folder of a run, or of a bundle.", metavar="RUN", show_default=False),
    ] = None,
    repo: Annotated[
        str | None,
        typer.Argument(help="Repository on the Hub.", metavar="OWNER/NAME", show_default=False),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Create the repository as private.")
    ] = False,
    revision: Annotated[
        str,
        typer.Option("--revision", metavar="BRANCH", help="Branch; created if it does not exist."),
    ] = "main",
    tag: Annotated[
        str | None,
        typer.Option(
            "--tag",
            metavar="NAME",
            help="Tag of this version.",
            show_default="the next of v1, v2 …",
        ),
    ] = None,
    message: Annotated[
        str, typer.Option("--message", "-m", metavar="TEXT", help="Commit message.")
    ] = "Publish with ich",
    license: Annotated[
        str, typer.Option("--license", metavar="ID", help="Licence of the weights, as a Hub id.")
    ] = "apache-2.0",
    space: Annotated[
        str | None,
        typer.Option(
            "--space",
            metavar="OWNER/NAME",
            show_default=False,
            help="Publish the demo as this Space; without RUN, for the bundle of that name.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show all files and the card; no token needed.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Publish a bundle, its card and its evaluation on the Hugging Face Hub.

    Publishes config, weights, card, metrics and figures in one commit with a tag. Checkpoints and
    logs are not published; paths and host names are removed. Unchanged files are not sent again.

    Example: ich push runs/first owner/name --dry-run
    """
    from ich_cli.core.errors import UsageError
    from ich_cli.core.publish import collect_files

    if (run is None) != (repo is None) or (run is None and space is None):
        raise UsageError("give RUN and OWNER/NAME, or --space OWNER/NAME alone")
    for one in filter(None, (repo, space)):
        _check_name(one)
    with progress("Checking", unit="", quiet=quiet):
        publication = collect_files(run, repo, license=license) if run and repo else None
    for text in publication.notes if publication else ():
        warn(text)
    if dry_run:
        _show(publication, repo, space, as_json=json)
        return
    model = _publish(publication, private, revision, message, tag)
    demo = _publish_space(space, model, private, message, quiet) if space else None
    _print_results(model, demo, as_json=json)
    note(RESEARCH_ONLY, quiet=quiet)


def _check_name(name: str) -> None:
    from ich_cli.core.bundle import HubId, is_hub_id
    from ich_cli.core.errors import UsageError

    if not is_hub_id(name) or HubId.parse(name) != HubId(name):
        raise UsageError(f"{name}: a repository is owner/name; name a branch with --revision")


def _publish(
    publication: Publication | None,
    private: bool,
    revision: str,
    message: str,
    tag: str | None,
) -> PushResult | None:
    from ich_cli.core.publish import push as publish

    if publication is None:
        return None
    return publish(  # the Hub's client has its own progress bar
        publication.files,
        publication.repo,
        private=private,
        branch=revision,
        message=message,
        tag=tag,
    )


def _publish_space(
    space: str, model: PushResult | None, private: bool, message: str, quiet: bool
) -> PushResult:
    from ich_cli.core.bundle import pin
    from ich_cli.core.publish import push_space

    weights = f"{model.repo}@{model.commit}" if model else pin(space)
    if model and model.private:
        note("the bundle is private: set a secret HF_TOKEN with read access in the Space")
    with progress("Publishing the Space", unit="", quiet=quiet):
        return push_space(space, weights, private=private, message=message)


def _show(
    publication: Publication | None, repo: str | None, space: str | None, *, as_json: bool
) -> None:
    from ich_cli.core.publish import space_files

    parts: dict[str, Iterable[Upload]] = {}
    if publication:
        parts[publication.repo] = publication.files
    if space:
        parts[f"spaces/{space}"] = space_files(repo or space)
    if as_json:
        listed: dict[str, Any] = {
            name: [{"path": one.path, "size": one.size} for one in files]
            for name, files in parts.items()
        }
        result: dict[str, Any] = {"files": listed, "card": None, "training": None}
        if publication:
            result |= {"card": publication.card, "training": publication.config.training}
        typer.echo(json_text.dumps(result))
        return
    for name, files in parts.items():
        _print_files(name, files)
    if publication:
        stdout().print("\nREADME.md, the model card:\n")
        typer.echo(publication.card)
        stdout().print("config.json, training record:\n")
        typer.echo(json_text.dumps(dict(publication.config.training), indent=2, ensure_ascii=False))
    note("dry run: nothing was uploaded")


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


def _print_results(model: PushResult | None, space: PushResult | None, *, as_json: bool) -> None:
    results = {"model": model, "space": space}
    if as_json:
        published = {name: vars(one) for name, one in results.items() if one}
        typer.echo(json_text.dumps(published, indent=2))
        return
    for one in filter(None, results.values()):
        what = f"{len(one.changed)} files" if one.changed else "unchanged"
        version = one.tag or one.commit[:12]
        note(f"{one.repo} {version}: {what}")
        typer.echo(one.url)
    if model:
        note(f"use it: ich predict scan.dcm --weights {model.repo}@{model.tag or model.commit}")
