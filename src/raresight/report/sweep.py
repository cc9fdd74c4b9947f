"""The report of a sweep: each sampler's gain against imbalance, and links to the runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import matplotlib as mpl
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from raresight.evidence.format import decimal, span
from raresight.evidence.metrics import METRICS
from raresight.evidence.names import balance_title, data_title, model_title
from raresight.report.figures import render
from raresight.report.page import page, page_target, write_whole
from raresight.report.protocol import grouping_context
from raresight.report.theme import PAGE, PAPER, Palette, for_file, for_page, looks

CAPTION = (
    "What each balance gains over none, for the same model on the same test rows, against the imbalance of "
    "the training rows; bands: 95 % intervals of the paired differences."
)
TITLES = {"sensitivity": "Sensitivity, default threshold"}
"""A sweep tells decisions at the default threshold apart from those at matched specificity."""


class Swept(Protocol):
    """A sweep, as far as its report looks at it; `raresight.experiment.sweep.Sweep` is one."""

    path: Path

    @property
    def summary(self) -> dict[str, Any]:
        """``sweep.json``."""
        ...


def write_sweep(sweep: Swept, path: str | Path | None = None, format: str | None = None) -> Path:
    """Write the report of a sweep.

    Parameters
    ----------
    sweep : Sweep
    path : path, optional
        The file to write; by default ``report.html`` in the sweep's folder. The figure goes beside it, as
        ``figures/sweep.svg|png``.
    format : {"html", "md"}, optional
        By default what the path's ending says, else a page.

    Returns
    -------
    Path
        The report.

    Raises
    ------
    OptionError
        If there is no such format.
    RunError
        If the file cannot be written.
    """
    form, target = page_target(path, sweep.path, "report", format, "a sweep's report")
    summary = sweep.summary
    svg = render(lambda palette: sweep_figure(summary["gains"], palette), PAGE, "sweep", "svg").decode()
    png = render(lambda palette: sweep_figure(summary["gains"], palette), PAPER, "sweep", "png")
    write_whole(target.parent / "figures" / "sweep.svg", for_file(svg))
    write_whole(target.parent / "figures" / "sweep.png", png)
    # Markup: the SVG is ours, and matplotlib escapes the names that it writes into it.
    picture = Markup(for_page(svg, "sweep", CAPTION))
    write_whole(target, page(form, f"sweep.{form}.j2", {**_context(summary), "picture": picture}))
    return target


def sweep_figure(gains: Sequence[Mapping[str, Any]], palette: Palette) -> Figure:
    """Draw gains against imbalance: a column a detector, a row a metric, a line a balance.

    Parameters
    ----------
    gains : sequence of mappings
        ``gains`` of ``sweep.json``.
    palette : Palette
    """
    columns = list(dict.fromkeys((g["model"], g["representation"]) for g in gains))
    metrics = list(dict.fromkeys(g["metric"] for g in gains))
    balances = list(dict.fromkeys(g["balance"] for g in gains))
    size = (max(4.6, 2.1 + 2.9 * len(columns)), 0.9 + 2.3 * max(1, len(metrics)))
    figure = Figure(size, layout="constrained")
    shape = max(1, len(metrics)), max(1, len(columns))
    panels = figure.subplots(*shape, sharex=True, sharey="row", squeeze=False)
    look = looks(balances, palette)
    ratios = sorted({g["imbalance"] for g in gains})
    for row, metric in enumerate(metrics):
        for column, (model, representation) in enumerate(columns):
            panel = panels[row, column]
            own = [
                g
                for g in gains
                if (g["metric"], g["model"], g["representation"]) == (metric, model, representation)
            ]
            _panel(panel, own, ratios, look, palette)
            if row == 0:
                panel.set_title(f"{model_title(model)}, {representation}", loc="left")
            if column == 0:
                panel.set_ylabel(_metric_title(metric))
            if row == len(metrics) - 1:
                panel.set_xlabel("Normal images for each anomalous one")
    handles = [
        Line2D([], [], **look[b].line(), marker=look[b].marker, markersize=4.5, label=balance_title(b))
        for b in balances
    ]
    if handles:
        figure.legend(handles=handles, loc="outside lower left", ncols=min(4, len(handles)), fontsize=8)
    return figure


def _panel(
    panel: Axes, gains: Sequence[Mapping[str, Any]], ratios: Sequence[float], look: Any, palette: Palette
) -> None:
    panel.set_xscale("log")
    panel.set_xticks(ratios, [f"{ratio:g}" for ratio in ratios])
    panel.xaxis.set_minor_locator(mpl.ticker.NullLocator())
    panel.yaxis.set_major_formatter(lambda value, _: _tick(value))
    panel.grid(axis="y")
    panel.set_axisbelow(True)
    panel.axhline(0, color=palette.muted, linewidth=0.9)
    for balance, style in look.items():
        own = [g for g in gains if g["balance"] == balance and g["difference"] is not None]
        x = [g["imbalance"] for g in own]
        panel.plot(x, [g["difference"] for g in own], **style.line(), marker=style.marker, markersize=4.5)
        banded = [g for g in own if g["low"] is not None and g["high"] is not None]
        panel.fill_between(
            [g["imbalance"] for g in banded],
            [g["low"] for g in banded],
            [g["high"] for g in banded],
            color=style.colour,
            alpha=0.13,
            linewidth=0,
        )


def _tick(value: float) -> str:
    """Write a tick with as many digits as it has: +.005, +.10, 0."""
    if abs(value) < 1e-9:
        return "0"
    return decimal(value, 2 if abs(100 * value - round(100 * value)) < 1e-6 else 3, sign=True)


def _metric_title(metric: str) -> str:
    return TITLES.get(metric, METRICS[metric].title)


def _context(summary: Mapping[str, Any]) -> dict[str, Any]:
    gains = summary["gains"]
    ratios = [entry["imbalance"] for entry in summary["ratios"]]
    tables = []
    for metric in dict.fromkeys(g["metric"] for g in gains):
        rows = []
        for recipe in dict.fromkeys(g["recipe"] for g in gains):
            own = {g["imbalance"]: g for g in gains if g["recipe"] == recipe and g["metric"] == metric}
            rows.append({"recipe": recipe, "cells": [_cell(own.get(ratio)) for ratio in ratios]})
        tables.append({"title": _metric_title(metric), "rows": rows})
    return {
        "name": data_title(summary["data"]["name"]),
        "caption": CAPTION,
        "ratios": [
            {
                "text": f"{entry['imbalance']:g} : 1",
                "report": f"{entry['run']}/report.html",
                "anomalies": entry.get("train_anomalies"),
                "rows": entry.get("train_rows"),
            }
            for entry in summary["ratios"]
        ],
        "tables": tables,
        "grouping": grouping_context(summary["protocol"]["groups"], summary["data"]),
        "command": summary.get("command"),
    }


def _cell(gain: Mapping[str, Any] | None) -> dict[str, str]:
    if gain is None:
        return {"value": "–", "span": ""}
    return {
        "value": decimal(gain["difference"], sign=True),
        "span": span({"low": gain["low"], "high": gain["high"]}, sign=True),
    }
