"""Validation of configuration values.

A failed check raises the caller's error type; its message is one line that names the setting.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import field, fields
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from ich_cli.core.errors import BundleError, UsageError

T = TypeVar("T")


def require(condition: bool, message: str, error: type[Exception] = UsageError) -> None:
    """Raise `error` with `message` unless the condition holds."""
    if not condition:
        raise error(message)


def require_keys(
    found: Iterable[str],
    required: Collection[str],
    optional: Collection[str] = (),
    prefix: str = "",
    error: type[Exception] = BundleError,
) -> None:
    """Raise `error` where a required key is missing or a key is unknown; name the first such key.

    Parameters
    ----------
    found
        Keys that were read.
    required, optional
        Keys that must, and may, be there.
    prefix
        Put before the key in the message: ``ich.study.``.
    error
        Type of the error.
    """
    keys = set(found)
    for key in sorted(set(required) - keys):
        raise error(f"the key {prefix}{key} is missing")
    for key in sorted(keys - {*required, *optional}):
        raise error(f"the key {prefix}{key} is unknown to this version")


def require_choices(config: object, error: type[Exception] = UsageError) -> None:
    """Raise `error` where a dataclass field annotated as a `Literal` has another value."""
    for name, hint in get_type_hints(type(config)).items():
        if get_origin(hint) is Literal and getattr(config, name) not in get_args(hint):
            raise error(f"{name} must be one of {', '.join(map(str, get_args(hint)))}")


def setting(default: T, help: str, within: str = "", panel: str = "") -> T:
    """Declare a setting that is also a command-line option.

    Parameters
    ----------
    default
        Default value.
    help
        Help text of the option.
    within
        Interval of valid values: ``[0, 1)``; no check where empty.
    panel
        Panel of the command's help that lists the option.
    """
    about = {"help": help, "within": within, "panel": panel}
    declared: T = field(default=default, metadata=about)
    return declared


def require_intervals(config: Any, error: type[Exception] = UsageError) -> None:
    """Raise `error` where a field declared with `setting` is outside its interval."""
    for one in fields(config):
        interval = one.metadata.get("within", "")
        inside = not interval or _is_within(getattr(config, one.name), interval)
        require(inside, f"{one.name} must be in {interval}", error)


def _is_within(value: float, interval: str) -> bool:
    """Return True where a number is in an interval such as ``[0, 1)``."""
    low, high = map(float, interval[1:-1].split(","))
    above = value >= low if interval[0] == "[" else value > low
    return above and (value <= high if interval[-1] == "]" else value < high)


def finite_numbers(
    values: Any, count: int, name: str, error: type[Exception] = BundleError
) -> tuple[float, ...]:
    """Return a parsed JSON list as `count` floats; raise `error` where it is anything else."""
    valid = isinstance(values, list | tuple) and len(values) == count
    require(
        valid and all(map(is_number, values)), f"{name} must have {count} finite numbers", error
    )
    return tuple(float(value) for value in values)


def is_number(value: object) -> bool:
    """Return True for a finite int or float; False for bool and every other type."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an int larger than any float
        return False


def is_whole(value: object) -> bool:
    """Return True for an int; False for bool and every other type."""
    return isinstance(value, int) and not isinstance(value, bool)
