"""Codes of the Structured Report. docs/reports.md says where each one is defined."""

from __future__ import annotations

from typing import Final, NamedTuple


class Coded(NamedTuple):
    """A code, its scheme, and its meaning (PS3.3 section 8)."""

    value: str
    scheme: str
    meaning: str


HEMORRHAGE: Final = Coded("50960005", "SCT", "Hemorrhage")
CT_OF_HEAD: Final = Coded("303653007", "SCT", "CT of head")
BRAIN: Final = Coded("12738006", "SCT", "Brain")
INTRACRANIAL: Final = Coded("128319008", "SCT", "Intracranial structure")

FINDINGS: Final = {
    "any": Coded("1386000", "SCT", "Intracranial hemorrhage"),
    "epidural": Coded("82999001", "SCT", "Epidural intracranial hemorrhage"),
    "intraparenchymal": HEMORRHAGE,
    "intraventricular": HEMORRHAGE,
    "subarachnoid": Coded("21454007", "SCT", "Subarachnoid intracranial hemorrhage"),
    "subdural": Coded("35486000", "SCT", "Subdural intracranial hemorrhage"),
}
"""Label → finding. Two subtypes are told by the hemorrhage and its site together."""

SITES: Final = {
    "any": INTRACRANIAL,
    "epidural": INTRACRANIAL,
    "intraparenchymal": BRAIN,
    "intraventricular": Coded("35764002", "SCT", "Brain ventricle"),
    "subarachnoid": Coded("35951006", "SCT", "Subarachnoid space"),
    "subdural": INTRACRANIAL,
}
"""Label → where the finding lies."""

VERDICTS: Final = {
    "positive": Coded("52101004", "SCT", "Present"),
    "unsure": Coded("82334004", "SCT", "Indeterminate"),
    "negative": Coded("272519000", "SCT", "Absent"),
}
CERTAINTY: Final = Coded("111012", "DCM", "Certainty of Finding")
PERCENT: Final = Coded("%", "UCUM", "Percent")
MAXIMUM: Final = Coded("56851009", "SCT", "Maximum")
COMMENT: Final = Coded("121106", "DCM", "Comment")
SOURCE_IMAGE: Final = Coded("121322", "DCM", "Source image for image processing operation")
