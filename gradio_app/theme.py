"""Gradio theme, icon and web app manifest of the page."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import gradio as gr

STATIC: Final = Path(__file__).with_name("static")
STYLES: Final = (STATIC / "viewer.css",)
ICON: Final = STATIC / "icon.png"

TITLE: Final = "Intracranial hemorrhage on head CT"

_ICONS: Final = (192, 512)  # side in pixels; browsers require both of an installable app
MANIFEST_ICONS: Final = tuple(f"pwa_icon/{side}" for side in _ICONS)
MANIFEST: Final = {
    "name": TITLE,
    "short_name": "ich",
    "description": "Research use only, not a medical device.",
    "start_url": "./",
    "display": "standalone",
    "background_color": "#0b0e12",
    "theme_color": "#0b0e12",
    "icons": [
        {"src": src, "sizes": f"{side}x{side}", "type": "image/png", "purpose": "any"}
        for side, src in zip(_ICONS, MANIFEST_ICONS, strict=True)
    ],
}
"""Web app manifest (W3C), which makes the page installable.

Its URLs are relative to its own URL, so they also work below a sub-path.
"""

_FONTS: Final = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
_MONO: Final = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")


def theme() -> gr.themes.Base:
    """Return the theme. It uses system fonts only, so that no font is fetched."""
    return gr.themes.Base(
        primary_hue="sky", secondary_hue="sky", neutral_hue="slate",
        font=_FONTS, font_mono=_MONO, radius_size="md",
    ).set(
        body_background_fill="#f4f6f8", body_background_fill_dark="#0b0e12",
        body_text_color="#17202a", body_text_color_dark="#e7ecf2",
        background_fill_primary="#f4f6f8", background_fill_primary_dark="#0b0e12",
        button_primary_background_fill="#0b6aa2", button_primary_background_fill_dark="#6bc1f5",
        button_primary_background_fill_hover="#0b6aa2",
        button_primary_background_fill_hover_dark="#6bc1f5",
        button_primary_text_color="#ffffff", button_primary_text_color_dark="#06222f",
        panel_background_fill="transparent", panel_background_fill_dark="transparent",
        block_background_fill="transparent", block_background_fill_dark="transparent",
        block_border_width="0px", block_padding="0px", block_shadow="none",
    )  # fmt: skip
