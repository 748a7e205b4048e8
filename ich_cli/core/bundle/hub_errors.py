"""What goes wrong with the Hugging Face Hub, told in one line; and patience where that helps."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from ich_cli.core.errors import HubError, IchError

Result = TypeVar("Result")

CONFLICT: Final = (409, 412)
"""HTTP status of a commit whose parent is no longer the last one."""
_BUSY: Final = (429, 500, 502, 503, 504)
_WAITS: Final = (1.0, 2.0, 4.0, 8.0)  # seconds before the second, third … attempt
_LONGEST_WAIT: Final = 60.0


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Turn whatever the Hub's client raises into a `HubError` about `what`.

    Besides its own classes the client lets those of its HTTP library through, which changes from
    one major version to the next; so everything that is not its own is told by its name alone.
    """
    try:
        yield
    except IchError:
        raise
    except Exception as error:
        raise HubError(f"{what}: {reason(error)}") from error


def patiently(call: Callable[[], Result]) -> Result:
    """Call, and call again while the Hub says that it is busy or ill (429, 5xx).

    The client does so by itself for uploads and look-ups, and not for a download's 5xx nor where
    it creates a repository, a commit or a tag. ``Retry-After`` is heeded up to a minute.
    """
    from huggingface_hub.errors import HfHubHTTPError

    for wait in _WAITS:
        try:
            return call()
        except HfHubHTTPError as error:
            if status_of(error) not in _BUSY:
                raise
            asked = error.response.headers.get("Retry-After", "")
            time.sleep(min(float(asked) if asked.isdecimal() else wait, _LONGEST_WAIT))
    return call()


def status_of(error: BaseException) -> int:
    """Return the HTTP status that an error of the client carries, else 0."""
    return int(getattr(getattr(error, "response", None), "status_code", 0))


def reason(error: BaseException) -> str:
    """Say what an error of the client means and what to do about it."""
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return "gated: ask for access on its page, then log in by `hf auth login` or HF_TOKEN"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "no such model on the Hub, or no access to it; check the name and HF_TOKEN"
    if isinstance(error, errors.RevisionNotFoundError):
        return "no such revision; check what stands after the @"
    if isinstance(error, errors.HfHubHTTPError):
        return _of_status(status_of(error))
    if isinstance(error, errors.HFValidationError):
        return "not a name that the Hub allows (no -- or .., no - or . at the end)"
    if isinstance(error, ValueError) and "Invalid metadata in README.md" in str(error):
        return f"the Hub refuses the card: {str(error).partition('- ')[2]}"
    if isinstance(error.__cause__, errors.HfHubHTTPError):
        return reason(error.__cause__)  # the client wraps what an upload or a look-up met
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        return (
            "not in the cache, and the Hub cannot be reached; connect once (HF_HUB_OFFLINE unset, "
            "HF_ENDPOINT right) or give a folder"
        )
    if isinstance(error, ConnectionError) or "xet" in f"{type(error).__name__} {error}".lower():
        return "the fast transfer (xet) failed; try again, or set HF_HUB_DISABLE_XET=1"
    if isinstance(error, OSError):
        return f"a file cannot be read or written ({error.strerror or type(error).__name__})"
    return f"the connection failed ({type(error).__name__}); check the network and try again"


def _of_status(status: int) -> str:
    if status == 401:
        return "the Hub does not accept the token; log in by `hf auth login`, or set HF_TOKEN"
    if status == 403:
        return "the token may not do this; it needs write access (`hf auth login`, or HF_TOKEN)"
    if status == 429:
        return "the Hub asks for fewer requests (HTTP status 429); try again later"
    return f"the Hub answered with HTTP status {status}; try again later"
