"""How numbers are written: ``.963``, as statistics are, and a dash for what is not defined."""

from __future__ import annotations

from collections.abc import Mapping

Cell = Mapping[str, float | None]
"""``{"mean", "low", "high"}`` of a metric."""


def decimal(value: float | None, places: int = 3, *, sign: bool = False) -> str:
    """Write a number with a fixed number of decimals and no leading zero."""
    if value is None:
        return "–"
    text = f"{abs(value):.{places}f}"
    text = text[1:] if text.startswith("0.") else text
    if not text.strip(".0"):
        return text
    return ("−" if value < 0 else "+" if sign else "") + text


def span(cell: Cell, places: int = 3, *, sign: bool = False) -> str:
    """Write an interval, ``.957–.969``; with signs ``−.003 to +.001``; nothing where there is none."""
    if cell["low"] is None or cell["high"] is None:
        return ""
    low, high = decimal(cell["low"], places, sign=sign), decimal(cell["high"], places, sign=sign)
    return f"{low} to {high}" if sign or "−" in low else f"{low}–{high}"


def estimate_text(cell: Cell, places: int = 3) -> str:
    """Write a value with its interval: ``.963 (.957–.969)``."""
    interval = span(cell, places)
    return decimal(cell["mean"], places) + (f" ({interval})" if interval else "")
