"""Tests of the static files: contrast in both themes (WCAG 2.2, 1.4.3: 4.5 to 1)."""

from __future__ import annotations

import re

import pytest

from gradio_app.component import script
from gradio_app.theme import ICON, STATIC

STYLE = (STATIC / "viewer.css").read_text("utf-8")
PAGE = (STATIC / "viewer.html").read_text("utf-8")


def colours(theme: str) -> dict[str, str]:
    """Return the CSS variables of a theme; the dark theme overrides the light one."""
    blocks = re.findall(r"^(\.dark )?\.ich \{(.*?)^\}", STYLE, re.S | re.M)
    found: dict[str, str] = {}
    for dark, body in blocks:
        if not dark or theme == "dark":
            found.update(re.findall(r"--([\w-]+): (#\w{6})", body))
    return found


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours (WCAG 2.2, relative luminance)."""

    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_contrast_of_black_on_white_is_21() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("text", "ground"),
    [("text", "ground"), ("text", "sheet"), ("text", "hover"), ("dim", "ground"), ("dim", "sheet"),
     ("dim", "hover"), ("on-accent", "accent"), ("alert", "alert-ground"), ("calm", "calm-ground"),
     ("unsure", "unsure-ground")],
)  # fmt: skip
def test_text_is_readable(theme: str, text: str, ground: str) -> None:
    found = colours(theme)
    assert contrast(found[text], found[ground]) >= 4.5


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("label", range(6))
def test_chart_lines_have_contrast(theme: str, label: int) -> None:
    found = colours(theme)  # 1.4.11: 3 to 1 for graphics
    assert contrast(found[f"l{label}"], found["sheet"]) >= 3.0


def test_page_fetches_nothing_from_elsewhere() -> None:
    for text in (STYLE, PAGE, script()):
        assert set(re.findall(r"https?://[^\s'\"]+", text)) <= {"http://www.w3.org/2000/svg"}
        assert "@import" not in text


def test_every_element_used_by_the_script_exists() -> None:
    asked = set(re.findall(r"\$\('(\w+)'\)", script()))
    assert asked <= set(re.findall(r'data-el="(\w+)"', PAGE))


def test_icon_is_there() -> None:
    assert ICON.read_bytes().startswith(b"\x89PNG")
