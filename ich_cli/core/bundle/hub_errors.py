"""Errors of the Hugging Face Hub as one-line messages, and retries of temporary failures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from ich_cli.core.errors import HubError, IchError

Result = TypeVar("Result")

CONFLICT: Final = (409, 412)
"""HTTP status for a commit whose parent is no longer the head."""
_BUSY: Final = (429, 500, 502, 503, 504)
_WAITS: Final = (1.0, 2.0, 4.0, 8.0)  # seconds before the second, third … attempt
_LONGEST_WAIT: Final = 60.0


@contextmanager
def translate_hub_errors(name: str) -> Iterator[None]:
    """Turn any error of the Hub's client into a `HubError` about `name`.

    The client also raises errors of its HTTP library, which differs between major versions. Only
    the class name of such an error is reported.
    """
    try:
        yield
    except IchError:
        raise
    except Exception as error:
        raise HubError(f"{name}: {hub_error_text(error)}") from error


def retrying(call: Callable[[], Result]) -> Result:
    """Call a function, and retry it after HTTP status 429 or 5xx.

    The client itself retries uploads and metadata requests, but neither downloads after 5xx nor
    the creation of a repository, commit or tag. ``Retry-After`` is honoured up to a minute.
    """
    from huggingface_hub.errors import HfHubHTTPError

    for wait in _WAITS:
        try:
            return call()
        except HfHubHTTPError as error:
            if status_of(error) not in _BUSY:
                raise
            retry_after = error.response.headers.get("Retry-After", "")
            time.sleep(min(float(retry_after) if retry_after.isdecimal() else wait, _LONGEST_WAIT))
    return call()


def status_of(error: BaseException) -> int:
    """Return the HTTP status of a client error, or 0."""
    return int(getattr(getattr(error, "response", None), "status_code", 0))


def hub_error_text(error: BaseException) -> str:
    """Describe a client error, and what to do about it."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return "gated: request access on its page, then log in with `hf auth login` or HF_TOKEN"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "not found on the Hub, or no access; check the name and HF_TOKEN"
    if isinstance(error, errors.RevisionNotFoundError):
        return "revision not found; check the part after the @"
    if isinstance(error, errors.HfHubHTTPError):
        return _status_text(status_of(error))
    if isinstance(error, errors.HFValidationError):
        return "invalid repository name (no -- or .., no - or . at the end)"
    if isinstance(error, ValueError) and "Invalid metadata in README.md" in str(error):
        return f"the Hub rejects the model card: {str(error).partition('- ')[2]}"
    if isinstance(error.__cause__, errors.HfHubHTTPError):
        return hub_error_text(error.__cause__)  # wrapped by the client
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        return (
            "not in the cache, and the Hub cannot be reached; go online, check HF_HUB_OFFLINE and "
            "HF_ENDPOINT, or give a local folder"
        )
    if isinstance(error, ConnectionError) or "xet" in f"{type(error).__name__} {error}".lower():
        return "the fast transfer (xet) failed; try again, or set HF_HUB_DISABLE_XET=1"
    if isinstance(error, OSError):
        return f"a file cannot be read or written ({error.strerror or type(error).__name__})"
    return f"the connection failed ({type(error).__name__}); check the network and try again"


def _status_text(status: int) -> str:
    if status == 401:
        return "the Hub rejects the token; log in with `hf auth login`, or set HF_TOKEN"
    if status == 403:
        return "permission denied: the token needs write access (`hf auth login` or HF_TOKEN)"
    if status == 429:
        return "rate limit of the Hub reached (HTTP status 429); try again later"
    return f"the Hub returned HTTP status {status}; try again later"
