"""Codes of the Structured Report; docs/reports.md lists their definitions."""

from __future__ import annotations

from typing import Final, NamedTuple


class CodedConcept(NamedTuple):
    """Code value, coding scheme designator and code meaning (PS3.3 section 8)."""

    value: str
    scheme: str
    meaning: str


HEMORRHAGE: Final = CodedConcept("50960005", "SCT", "Hemorrhage")
CT_OF_HEAD: Final = CodedConcept("303653007", "SCT", "CT of head")
BRAIN: Final = CodedConcept("12738006", "SCT", "Brain")
INTRACRANIAL: Final = CodedConcept("128319008", "SCT", "Intracranial structure")

FINDINGS: Final = {
    "any": CodedConcept("1386000", "SCT", "Intracranial hemorrhage"),
    "epidural": CodedConcept("82999001", "SCT", "Epidural intracranial hemorrhage"),
    "intraparenchymal": HEMORRHAGE,
    "intraventricular": HEMORRHAGE,
    "subarachnoid": CodedConcept("21454007", "SCT", "Subarachnoid intracranial hemorrhage"),
    "subdural": CodedConcept("35486000", "SCT", "Subdural intracranial hemorrhage"),
}
"""Label → finding. Two subtypes are coded by hemorrhage and site together."""

SITES: Final = {
    "any": INTRACRANIAL,
    "epidural": INTRACRANIAL,
    "intraparenchymal": BRAIN,
    "intraventricular": CodedConcept("35764002", "SCT", "Brain ventricle"),
    "subarachnoid": CodedConcept("35951006", "SCT", "Subarachnoid space"),
    "subdural": INTRACRANIAL,
}
"""Label → anatomical site of the finding."""

VERDICTS: Final = {
    "positive": CodedConcept("52101004", "SCT", "Present"),
    "unsure": CodedConcept("82334004", "SCT", "Indeterminate"),
    "negative": CodedConcept("272519000", "SCT", "Absent"),
}
CERTAINTY: Final = CodedConcept("111012", "DCM", "Certainty of Finding")
PERCENT: Final = CodedConcept("%", "UCUM", "Percent")
MAXIMUM: Final = CodedConcept("56851009", "SCT", "Maximum")
COMMENT: Final = CodedConcept("121106", "DCM", "Comment")
SOURCE_IMAGE: Final = CodedConcept("121322", "DCM", "Source image for image processing operation")
