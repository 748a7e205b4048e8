"""Command-line options generated from the fields of a configuration dataclass."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import Field, fields
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

Command = TypeVar("Command", bound=Callable[..., None])

_KIND = inspect.Parameter.KEYWORD_ONLY


def settings_options(
    config: type[Any], after: str, short: dict[str, str]
) -> Callable[[Command], Command]:
    """Give a command an option for each field of a dataclass that `setting` declares.

    The command receives their values through its ``**`` parameter. A field's panel becomes the
    panel of the help that lists its option; fields without one are among the main options.

    Parameters
    ----------
    config
        Dataclass; the options have its defaults.
    after
        Parameter of the command that precedes the main options in its help.
    short
        Field → short spelling of its option: ``{"model": "-m"}``.
    """
    types = get_type_hints(config)
    declared = [one for one in fields(config) if "help" in one.metadata]
    options = {one: _parameter(one, types[one.name], short.get(one.name)) for one in declared}
    main = [option for one, option in options.items() if not one.metadata["panel"]]
    in_panels = [option for one, option in options.items() if one.metadata["panel"]]

    def decorate(command: Command) -> Command:
        hints = get_type_hints(command, include_extras=True)
        signature = inspect.signature(command)
        own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
        own = [one.replace(kind=_KIND, annotation=hints[one.name]) for one in own]
        place = 1 + [one.name for one in own].index(after)
        parameters = [*own[:place], *main, *own[place:], *in_panels]
        command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        command.__annotations__ = hints | {one.name: one.annotation for one in options.values()}
        return command

    return decorate


def _parameter(one: Field[Any], type_: Any, short: str | None) -> inspect.Parameter:
    flag = "--" + one.name.replace("_", "-")
    flags = f"{flag}/--no-{flag[2:]}" if type_ is bool else flag
    option = typer.Option(
        flags,
        *([short] if short else []),
        help=one.metadata["help"],
        rich_help_panel=one.metadata["panel"] or None,
    )
    annotation = Annotated[type_, option]
    return inspect.Parameter(one.name, _KIND, default=one.default, annotation=annotation)
