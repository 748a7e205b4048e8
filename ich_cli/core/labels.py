"""The six labels, in the order of every array, table and file of `ich`."""

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
"""Abbreviations used by radiologists."""

RESEARCH_ONLY: Final = "Research use only, not a medical device."
"""Disclaimer on every report, page and model card, and in the output of commands."""
