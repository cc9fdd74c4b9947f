"""The page "What breaks it": AUROC against severity, what keeps up and what does not, in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from raresight.evidence.format import decimal
from raresight.evidence.metrics import METRICS
from raresight.evidence.names import data_title, titles
from raresight.evidence.thresholds import rule_title
from raresight.report.figures import render
from raresight.report.methods import ratio_text
from raresight.report.page import count, page, page_target, write_whole
from raresight.report.protocol import grouping_context
from raresight.report.subgroups import subgroups_context
from raresight.report.theme import PAGE, PAPER, Palette, Style, for_file, for_page, styles
from raresight.stress import CORRUPTIONS
from raresight.stress.corruptions import Corruption

CAPTION = (
    "AUROC against severity, a panel a corruption; 0 is the clean image. Bands: 95 % intervals. "
    "The dotted line is chance."
)
COLUMNS = 4
"""Panels beside one another."""

ELSEWHERE = ("auroc", "sensitivity", "specificity", "brier", "ece", "calibration_intercept")


class Stressed(Protocol):
    """A stress test, as far as its page looks at it; `raresight.stress.folder.Stress` is one."""

    path: Path

    @property
    def settings(self) -> dict[str, Any]:
        """``run.json``."""
        ...

    @property
    def summary(self) -> dict[str, Any]:
        """``stress.json``, see `raresight.evidence.stressed.summarise_stress`."""
        ...


def write_stress(stress: Stressed, path: str | Path | None = None, format: str | None = None) -> Path:
    """Write the page of a stress test.

    Parameters
    ----------
    stress : Stress
    path : path, optional
        The file to write; by default ``report.html`` in the test's folder. The figure goes beside it, as
        ``figures/stress.svg|png``.
    format : {"html", "md"}, optional
        By default what the path's ending says, else a page.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    OptionError
        If there is no such format.
    RunError
        If the file cannot be written.
    """
    form, target = page_target(path, stress.path, "report", format, "a stress test's report")
    summary = stress.summary
    wide = render(lambda palette: stress_figure(summary, palette), PAGE, "stress", "svg").decode()
    narrow = render(
        lambda palette: stress_figure(summary, palette, columns=2), PAGE, "narrow", "svg"
    ).decode()
    write_whole(target.parent / "figures" / "stress.svg", for_file(wide))
    write_whole(target.parent / "figures" / "stress.png", stress_png(summary))
    pictures = {
        # Markup: the SVG is ours, and matplotlib escapes the names that it writes into it.
        "picture": Markup(for_page(wide, "stress", CAPTION)),
        "narrow": Markup(for_page(narrow, "narrow", CAPTION)),
    }
    context = {**stress_context(summary, stress.settings), **pictures}
    write_whole(target, page(form, f"stress.{form}.j2", context))
    return target


def stress_png(summary: Mapping[str, Any]) -> bytes:
    """Draw the figure for print."""
    picture: bytes = render(lambda palette: stress_figure(summary, palette), PAPER, "stress", "png")
    return picture


def stress_figure(summary: Mapping[str, Any], palette: Palette, *, columns: int = COLUMNS) -> Figure:
    """Draw AUROC against severity: a panel a corruption, a line a recipe.

    Parameters
    ----------
    summary : mapping
        ``stress.json``.
    palette : Palette
    columns : int
        Panels beside one another.
    """
    recipes = summary["recipes"]
    names = list(dict.fromkeys(c["corruption"] for c in recipes[0]["conditions"]))
    columns = min(columns, len(names))
    lines = -(-len(names) // columns)
    figure = Figure((max(4.4, 0.5 + 2.35 * columns), 0.8 + 1.85 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    look, called = styles(recipes, palette), titles(recipes)
    for panel, name in zip(panels, names, strict=False):
        _panel(panel, name, recipes, look, palette)
    for number, panel in enumerate(panels):
        if number >= len(names):
            panel.set_visible(False)
        if number % columns == 0:
            panel.set_ylabel("AUROC")
        if number >= len(names) - columns:
            panel.set_xlabel("Severity")
            panel.tick_params(labelbottom=True)
    handles = [
        Line2D([], [], **look[r["recipe"]].line(), **_marker(look[r["recipe"]]), label=called[r["recipe"]])
        for r in recipes
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=min(columns, len(handles)), fontsize=8)
    return figure


def _panel(
    panel: Axes, name: str, recipes: Sequence[Mapping[str, Any]], look: Mapping[str, Style], palette: Palette
) -> None:
    panel.set_title(name, loc="left", fontsize=9)
    panel.grid(axis="y")
    panel.set_axisbelow(True)
    panel.axhline(0.5, color=palette.muted, linewidth=0.8, dashes=(1, 2))
    panel.yaxis.set_major_formatter(lambda value, _: decimal(value, 1))
    for recipe in recipes:
        style = look[recipe["recipe"]]
        own = [c for c in recipe["conditions"] if c["corruption"] == name]
        cells = [recipe["clean"]["auroc"], *(c["metrics"]["auroc"] for c in own)]
        x = [0, *(c["severity"] for c in own)]
        shown = [(a, c) for a, c in zip(x, cells, strict=True) if c["mean"] is not None]
        panel.plot([a for a, _ in shown], [c["mean"] for _, c in shown], **style.line(), **_marker(style))
        banded = [(a, c) for a, c in shown if c["low"] is not None]
        panel.fill_between(
            [a for a, _ in banded],
            [c["low"] for _, c in banded],
            [c["high"] for _, c in banded],
            color=style.colour,
            alpha=0.1,
            linewidth=0,
        )
    panel.set_xticks(x)


def _marker(style: Style) -> dict[str, Any]:
    return {
        "marker": style.marker,
        "markersize": 4,
        "markerfacecolor": style.fill,
        "markeredgecolor": style.colour,
    }


def stress_context(summary: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Collect what the page's templates show; text is not escaped.

    Parameters
    ----------
    summary : mapping
        ``stress.json``.
    settings : mapping
        ``run.json``.
    """
    recipes, called = summary["recipes"], titles(summary["recipes"])
    names = list(dict.fromkeys(c["corruption"] for c in recipes[0]["conditions"]))
    severities = settings["stress"]["severities"]
    return {
        "name": data_title(settings["data"]["name"]),
        "caption": CAPTION,
        "facts": _facts(settings, recipes),
        "sentences": summary["sentences"],
        "verdicts": [v["sentence"] for v in summary["verdicts"]],
        "margins": summary["margins"],
        "recipes": recipes,
        "called": called,
        "severities": severities,
        "tables": [_corruption(name, recipes, called) for name in names],
        "prevalence": [_prevalence(row, rule) for row in recipes for rule in row["prevalence"]],
        "rule_titles": {rule: rule_title(rule) for row in recipes for rule in row["prevalence"]},
        "cost": f"{summary['cost']:g}",
        "external": _elsewhere(summary.get("external"), called),
        "subgroups": subgroups_context(summary.get("subgroups"), called),
        "grouping": grouping_context(settings["protocol"]["groups"], settings["data"]),
        "strengths": [_strengths(name, severities) for name in names],
        "bundle": settings.get("bundle"),
        "command": settings.get("command"),
    }


def _facts(settings: Mapping[str, Any], recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    stress, protocol = settings["stress"], settings["protocol"]
    facts = [
        f"{count(settings['data']['images'], 'image')}",
        f"{stress['images']:,} corrupted, {stress['anomalies']:,} of them anomalous",
    ]
    bundle = settings.get("bundle")
    if bundle is not None:
        return [*facts, f"bundle {bundle['name']}, trained on {data_title(bundle['trained_on'])}"]
    folds = count(protocol["folds"], "fold")
    facts += [
        count(len(recipes), "recipe"),
        folds if protocol["repeats"] == 1 else f"{protocol['repeats']} × {folds}",
    ]
    if protocol.get("imbalance") is not None:
        facts.append(f"training rows thinned to {ratio_text(protocol['imbalance'])}")
    return facts


def _corruption(name: str, recipes: Sequence[Mapping[str, Any]], called: Mapping[str, str]) -> dict[str, Any]:
    """Give a corruption's table: a row a recipe and severity, the clean images first."""
    rows = []
    for recipe in recipes:
        clean = {**recipe["clean"], "kept": recipe["clean_specificity"]}
        rows.append(
            {
                "recipe": called[recipe["recipe"]],
                "severity": "clean",
                "cells": clean,
                "drift": None,
                "spread": 1.0,
            }
        )
        for own in recipe["conditions"]:
            if own["corruption"] == name:
                cells = {**own["metrics"], "kept": own["kept_specificity"]}
                told = {key: own[key] for key in ("severity", "drift", "spread")}
                rows.append({"recipe": "", "cells": cells, **told})
    return {"name": name, "summary": CORRUPTIONS[name].summary, "rows": rows}


def _prevalence(row: Mapping[str, Any], rule: str) -> dict[str, Any]:
    return {"recipe": row["recipe"], "rule": rule, "rows": row["prevalence"][rule]}


def _elsewhere(found: Mapping[str, Any] | None, called: Mapping[str, str]) -> dict[str, Any] | None:
    if not found:
        return None
    twins = found["twins_removed"]
    sentence = (
        f"Every fold's model also scored {found['images']:,} images of {data_title(found['name'])} "
        f"({found['anomalies']:,} anomalous), a set that none of them learned from."
    )
    if twins:
        sentence += f" {twins:,} further images of it have a twin in the training set and were left out."
    rows = [
        {
            "recipe": called.get(row["recipe"], row["recipe"]),
            "threshold": row["drift"]["threshold"],
            "cells": [
                {"own": row["own"][m], "there": row["metrics"][m], "drift": row["drift"][m]}
                for m in ELSEWHERE
            ],
        }
        for row in found["recipes"]
    ]
    return {"sentence": sentence, "titles": [METRICS[m].title for m in ELSEWHERE], "rows": rows}


def _strengths(name: str, severities: Sequence[int]) -> dict[str, Any]:
    entry = CORRUPTIONS[name]
    found: Corruption = entry.load()
    values = [f"{found.strengths[severity - 1]:g}" for severity in severities]
    return {
        "name": name,
        "summary": entry.summary,
        "unit": found.unit,
        "values": values,
        "source": entry.source,
    }
