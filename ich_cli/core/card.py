"""The shortest honest card of a bundle, for those who bring none of their own."""

from __future__ import annotations

from ich_cli.core.bundle_config import BundleConfig
from ich_cli.core.labels import LABELS, RESEARCH_ONLY


def minimal_card(config: BundleConfig) -> str:
    """Return Markdown that says what a bundle is, what it learned from and how to use it."""
    caveat = f"\n**{config.caveat}**\n" if config.caveat else ""
    thresholds = "\n".join(f"| {label} | {config.thresholds[label]:g} |" for label in LABELS)
    return f"""# Intracranial hemorrhage on head CT: {config.architecture}

**{RESEARCH_ONLY}**
{caveat}
Trained on: {config.training["data"]}

| label | threshold |
|---|---|
{thresholds}

Use: `ich predict scan.dcm --weights THIS_FOLDER`
"""
