"""UIDs and time of a report; equal content and time give equal UIDs."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final

from ich_cli._version import __version__
from ich_cli.core.report.study_result import StudyResult
from ich_cli.core.system import fingerprint

_NAMESPACE: Final = uuid.UUID("0c9f3a52-57c1-5c8e-9d0e-1f6f7f6a3b77")


@dataclass(frozen=True)
class Identity:
    """Identity of a report, from which its UIDs are derived."""

    key: str
    """Hash of the content and time of the report."""
    when: datetime
    device: str
    """Observer UID of the bundle."""

    @classmethod
    def of(cls, result: StudyResult, when: datetime, *parts: str) -> Identity:
        """Return the identity of the report of a study at a time."""
        sha256 = result.predictor.bundle.config.sha256
        rows = (f"{row.id.sop_uid} {row.id.frame} {row.probabilities}" for row in result.group.rows)
        rule = str(sorted(result.rule.to_dict().items())) + str(sorted(result.thresholds.items()))
        study = result.study
        found = str((study.probabilities, study.positive, study.verdict, study.quality, study.note))
        key = [__version__, sha256, rule, when.isoformat(), result.name, found, *parts, *rows]
        return cls(fingerprint(key), when, _uid("device", sha256))

    def uid(self, *parts: object) -> str:
        """Return a UUID-derived UID (PS3.5 B.2) for a part of the report."""
        return _uid(self.key, *parts)

    @cached_property
    def equipment(self) -> dict[str, Any]:
        """Return highdicom's arguments for the equipment."""
        return {
            "manufacturer": "ich",
            "manufacturer_model_name": "ich",
            "software_versions": __version__,
            "device_serial_number": self.device.rpartition(".")[2][:16],
        }

    @cached_property
    def written(self) -> dict[str, Any]:
        """Return highdicom's arguments for date and time."""
        moment = self.when.replace(microsecond=0)
        return {"content_date": moment.date(), "content_time": moment.time()}


def _uid(*parts: object) -> str:
    return f"2.25.{uuid.uuid5(_NAMESPACE, '/'.join(map(str, parts))).int}"
