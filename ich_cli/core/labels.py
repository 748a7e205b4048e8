"""The six labels, in the one order that every array, table and file of `ich` keeps."""

from __future__ import annotations

from typing import Final

SUBTYPES: Final = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural")
"""The five subtypes of intracranial hemorrhage."""

LABELS: Final = ("any", *SUBTYPES)
"""`any` followed by the five subtypes: axis 1 of all labels, logits and probabilities."""

ANY: Final = LABELS.index("any")
"""Column of `any` in arrays of six labels."""

SHORT: Final = {
    "any": "any",
    "epidural": "EDH",
    "intraparenchymal": "IPH",
    "intraventricular": "IVH",
    "subarachnoid": "SAH",
    "subdural": "SDH",
}
"""The abbreviations that radiologists use."""

RESEARCH_ONLY: Final = "Research use only, not a medical device."
"""Stands on every report, page, card and command's output for people."""
