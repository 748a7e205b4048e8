"""Exceptions of `ich`.

IchError                      anything the user can act on; main() prints it on one line
├── InputError                a file that cannot be used, with its name
│   ├── NotApplicableError    valid DICOM, but not an axial CT slice   (status "skipped")
│   ├── BrokenFileError       damaged, truncated or contradictory      (status "failed")
│   ├── DecoderError          no decoder for its transfer syntax       (status "failed")
│   └── LimitError            exceeds the limits                       (status "failed")
├── NothingFoundError         no file to work on at the given place
├── DataError                 an invalid label table or prepared data set
├── BundleError               a bundle with an invalid config, or weights that do not match it
├── HubError                  a failed request to the Hugging Face Hub
├── OutputError               a result that cannot be written
└── UsageError                options that contradict each other       (exit code 2)
"""

from __future__ import annotations

from enum import StrEnum
from typing import ClassVar, Literal, Self

Status = Literal["ok", "repaired", "skipped", "failed"]


class ReasonCode(StrEnum):
    """Reasons for refusing a file that other code acts on."""

    NOT_DICOM = "not-dicom"
    PICTURE = "picture"
    NOT_AXIAL = "not-axial"
    COPY = "copy"
    TIMEOUT = "timeout"


class IchError(Exception):
    """Base class of all expected errors; the message says what is wrong and what to do."""

    exit_code: ClassVar[int] = 1


class InputError(IchError):
    """A file that cannot be used.

    Parameters
    ----------
    name
        The file as the user named it (``archive.zip!member`` inside a zip).
    reason
        What is wrong, with the DICOM keyword where one is to blame. No patient data.
    remedy
        What the user can do about it.
    code
        The reason as a code, where other code acts on it; None otherwise.
    """

    status: ClassVar[Status] = "failed"

    def __init__(
        self, name: str, reason: str, remedy: str = "", code: ReasonCode | None = None
    ) -> None:
        self.name, self.reason, self.remedy, self.code = name, reason, remedy, code
        self.uids = ("", "", "")
        """Study, series and instance UID, where the header could be read."""
        super().__init__(f"{name}: {self.note}")

    def with_uids(self, study_uid: str, series_uid: str, sop_uid: str) -> Self:
        """Set the UIDs of the instance, so that its study can count it; return the error."""
        self.uids = (study_uid, series_uid, sop_uid)
        return self

    @property
    def note(self) -> str:
        """Reason and remedy in one line, without the file's name."""
        text = f"{self.reason}; {self.remedy}" if self.remedy else self.reason
        return " ".join(text.split())

    def __reduce__(self) -> tuple[type[InputError], tuple[object, ...], dict[str, object]]:
        # a worker process sends it to its parent
        arguments = self.name, self.reason, self.remedy, self.code
        return type(self), arguments, {"uids": self.uids}


class NotApplicableError(InputError):
    """Valid DICOM that is not an axial CT slice: a localizer, an MR, a report, a DICOMDIR."""

    status: ClassVar[Status] = "skipped"


class BrokenFileError(InputError):
    """A file that is damaged, truncated or contradicts itself."""


class DecoderError(InputError):
    """Pixel data in a transfer syntax that no installed decoder reads."""


class LimitError(InputError):
    """A file whose declared or actual size exceeds the limits."""


class NothingFoundError(IchError):
    """No file to work on at the given place."""


class DataError(IchError):
    """An invalid label table or prepared data set."""


class BundleError(IchError):
    """A bundle with an invalid config, or weights that do not match it."""


class HubError(IchError):
    """A failed request to the Hugging Face Hub."""


class OutputError(IchError):
    """A result that cannot be written."""


class UsageError(IchError):
    """Options that contradict each other."""

    exit_code: ClassVar[int] = 2
