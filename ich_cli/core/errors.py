"""Every error that `ich` raises on purpose.

IchError                      anything the user can act on; main() prints it as one line
├── InputError                a file that cannot be used; carries the file's name
│   ├── NotApplicableError    sound DICOM, but not an axial CT slice   (status "skipped")
│   ├── BrokenFileError       damaged, truncated or contradictory      (status "failed")
│   ├── DecoderError          no decoder for its transfer syntax       (status "failed")
│   └── LimitError            larger than the limits allow             (status "failed")
├── NothingFoundError         no file to work on at the given place
├── DataError                 a label table or prepared data set that does not hold together
├── BundleError               config or weights that cannot be trusted or do not fit
├── HubError                  the Hugging Face Hub did not give what was asked for
├── OutputError               a result that cannot be written
└── UsageError                options that contradict each other       (exit code 2)
"""

from __future__ import annotations

from typing import ClassVar, Literal, Self

Status = Literal["ok", "repaired", "skipped", "failed"]


class IchError(Exception):
    """Base of all expected errors: a sentence that says what is wrong and what to do."""

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
    """

    status: ClassVar[Status] = "failed"

    def __init__(self, name: str, reason: str, remedy: str = "") -> None:
        self.name, self.reason, self.remedy = name, reason, remedy
        self.uids = ("", "", "")
        """Study, series and instance UID, where the header could be read."""
        super().__init__(f"{name}: {self.note}")

    def of(self, study_uid: str, series_uid: str, sop_uid: str) -> Self:
        """Say which instance it is, so that its study can count it; return itself."""
        self.uids = (study_uid, series_uid, sop_uid)
        return self

    @property
    def note(self) -> str:
        """Reason and remedy in one line, without the file's name."""
        text = f"{self.reason}; {self.remedy}" if self.remedy else self.reason
        return " ".join(text.split())

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str], dict[str, object]]:
        # crosses process borders whole
        return type(self), (self.name, self.reason, self.remedy), {"uids": self.uids}


class NotApplicableError(InputError):
    """Sound DICOM that is not an axial CT slice: a localizer, an MR, a report, a DICOMDIR."""

    status: ClassVar[Status] = "skipped"


class BrokenFileError(InputError):
    """A file that is damaged, truncated or contradicts itself."""


class DecoderError(InputError):
    """Pixel data in a transfer syntax that no installed decoder reads."""


class LimitError(InputError):
    """A file whose declared or real size is beyond the limits."""


class NothingFoundError(IchError):
    """No file to work on at the given place."""


class DataError(IchError):
    """A label table or a prepared data set that does not hold together."""


class BundleError(IchError):
    """A bundle whose config or weights cannot be trusted, or do not fit each other."""


class HubError(IchError):
    """The Hugging Face Hub did not give what was asked for."""


class OutputError(IchError):
    """A result that cannot be written."""


class UsageError(IchError):
    """Options that contradict each other."""

    exit_code: ClassVar[int] = 2
