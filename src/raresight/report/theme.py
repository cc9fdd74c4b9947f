"""Colours that work in print, on light and on dark pages, and for colour-blind readers; SVG clean-up.

An SVG is drawn once, in placeholder colours. On the report's page they become CSS variables, so that the
picture follows the reader's light or dark setting; in a file they become neutral colours for either.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Palette:
    """Colours of one rendering.

    Attributes
    ----------
    ink, muted, grid, surface : str
        Text; axes and secondary text; grid lines; what lies behind (fills open markers).
    series : tuple of str
        One a model, after Okabe & Ito (2008), in lightnesses that the background allows.
    """

    ink: str
    muted: str
    grid: str
    surface: str
    series: tuple[str, ...]


PAPER = Palette(
    "#1c2126",
    "#5b646d",
    "#dfe3e6",
    "#ffffff",
    ("#0b64a0", "#c4500c", "#087f5f", "#a3487f", "#8a6d00", "#5b5bb5"),
)
"""For PNG files: dark on white."""

NEUTRAL = Palette(
    "#747c85",
    "#747c85",
    "#8b949e; stroke-opacity: 0.3",
    "#ffffff",
    ("#3b82c4", "#d9651f", "#1f9a78", "#c065a0", "#a5841a", "#7f7fd6"),
)
"""For SVG files: transparent, legible on white and on black. Takes the placeholders' place in a style."""

PAGE = Palette(
    "#0a0001",
    "#0a0002",
    "#0a0003",
    "#0a0004",
    ("#0a0010", "#0a0011", "#0a0012", "#0a0013", "#0a0014", "#0a0015"),
)
"""Placeholders, for `for_page` and `for_file`."""

VARIABLES = {
    PAGE.ink: "var(--ink)",
    PAGE.muted: "var(--muted)",
    PAGE.grid: "var(--grid)",
    PAGE.surface: "var(--surface)",
    **{placeholder: f"var(--series-{i})" for i, placeholder in enumerate(PAGE.series)},
}


def _colours(palette: Palette) -> tuple[str, ...]:
    return (palette.ink, palette.muted, palette.grid, palette.surface, *palette.series)


_MARKERS = ("D", "s", "^", "v", "P", "X")
_DASHES: tuple[tuple[float, ...], ...] = ((4, 1.6), (1.2, 1.4), (6, 1.6, 1.2, 1.6), (2.5, 1.2))


@dataclass(frozen=True, slots=True)
class Style:
    """How a recipe is drawn: colour by model, marker and line by balance."""

    colour: str
    marker: str
    fill: str
    dashes: tuple[float, ...]

    def line(self) -> dict[str, Any]:
        """Give matplotlib's arguments for a line."""
        return {"color": self.colour, "linewidth": 1.6, "linestyle": (0, self.dashes) if self.dashes else "-"}


def looks(balances: Sequence[str], palette: Palette) -> dict[str, Style]:
    """Give every balance a style of its own, for pictures with one panel a model."""
    return {
        balance: Style(
            palette.series[number % len(palette.series)],
            _MARKERS[number % len(_MARKERS)],
            palette.series[number % len(palette.series)],
            ((), *_DASHES)[number // len(palette.series) % (1 + len(_DASHES))],
        )
        for number, balance in enumerate(balances)
    }


def styles(recipes: Sequence[dict[str, str]], palette: Palette) -> dict[str, Style]:
    """Give every recipe its style: the same model the same colour, the same balance the same marker.

    Parameters
    ----------
    recipes : sequence of dict
        ``recipe`` (the id), ``model``, ``representation``, ``balance``.
    palette : Palette
    """
    looks = list(dict.fromkeys((r["model"], r["representation"]) for r in recipes))
    balances = list(dict.fromkeys(r["balance"] for r in recipes if r["balance"] != "none"))
    found = {}
    for r in recipes:
        colour = palette.series[looks.index((r["model"], r["representation"])) % len(palette.series)]
        if r["balance"] == "none":
            found[r["recipe"]] = Style(colour, "o", palette.surface, ())
        else:
            number = balances.index(r["balance"])
            marker = _MARKERS[number % len(_MARKERS)]
            found[r["recipe"]] = Style(colour, marker, colour, _DASHES[number % len(_DASHES)])
    return found


_FONT_FAMILY = re.compile(r"font-family: [^;\"]*")
_FONT_SHORT = re.compile(r"font: ([^;\"]*?px) [^;\"]*")


def for_page(svg: str, name: str, description: str) -> str:
    """Turn matplotlib's SVG file into inline SVG.

    Parameters
    ----------
    svg : str
    name : str
        Prefixed to every id, which must be unique in the page.
    description : str
        What a screen reader says; escaped here.

    Returns
    -------
    str
        One ``<svg>`` element without size, fonts, or address of any kind; colours are CSS variables.
    """
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, count=1, flags=re.DOTALL)
    body = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", body)
    body = _FONT_FAMILY.sub(
        "font-family: inherit", _FONT_SHORT.sub(r"font-size: \1; font-family: inherit", body)
    )
    for placeholder, variable in VARIABLES.items():
        body = body.replace(placeholder, variable)
    width, height = re.findall(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', body)[0]
    label = description.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    head = (
        f'<svg class="figure" role="img" aria-label="{label}" viewBox="0 0 {width} {height}" '
        f'style="max-width:{float(width) * 4 / 3:.0f}px">'
    )
    body = re.sub(r"<svg[^>]*>", lambda _: head, body, count=1)
    return re.sub(r"\s*\n\s*", "\n", body).strip()


def for_file(svg: str) -> str:
    """Turn matplotlib's SVG, drawn in `PAGE`, into a file with neutral colours and the reader's own font."""
    for placeholder, colour in zip(_colours(PAGE), _colours(NEUTRAL), strict=True):
        svg = svg.replace(placeholder, colour)
    fonts = "system-ui, 'Helvetica Neue', Arial, sans-serif"
    return _FONT_FAMILY.sub(
        f"font-family: {fonts}", _FONT_SHORT.sub(rf"font-size: \1; font-family: {fonts}", svg)
    )
