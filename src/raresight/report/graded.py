"""What the report of a multi-class run shows, and its pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from raresight.evidence.format import decimal
from raresight.evidence.multiclass import GRADED, PER_CLASS
from raresight.evidence.names import data_title, titles
from raresight.report.context import by_pair, folds_of, receipt_sentence, settings_lines
from raresight.report.doubt import without_doubt
from raresight.report.figures import Figures, Material, metrics_figure
from raresight.report.methods import graded_methods
from raresight.report.page import count
from raresight.report.protocol import grouping_context, split_sentence
from raresight.report.source import Reported
from raresight.report.tables import GRADED_SHOWN
from raresight.report.theme import Palette

GRADED_CAPTION = "Each recipe's metrics with 95 % intervals."

DEEPEST = 0.55
"""Opacity of a cell that holds all of its class: text on it stays legible on light and dark pages."""

CELL, LETTER, WIDTH = 0.46, 0.085, 10.0
"""Inches: a cell's side, a letter of a title, and what panels side by side take at most."""


def gather_graded(run: Reported) -> tuple[dict[str, Any], Material]:
    """Collect what every form of the report of a multi-class run shows.

    Returns
    -------
    context : dict
        For the templates; text is not escaped.
    material : Material
        For the pictures.
    """
    metrics, settings = run.metrics, run.settings
    recipes, data, protocol = metrics["recipes"], settings["data"], settings["protocol"]
    called, classes = titles(recipes), tuple(metrics["classes"])
    split = settings.get("published_split")
    sentences = metrics["sentences"]
    context = {
        "name": data_title(data["name"]),
        "recipes": recipes,
        "called": called,
        "classes": classes,
        "metrics": GRADED,
        "shown": GRADED_SHOWN,
        "per_class": PER_CLASS,
        "facts": _facts(settings, recipes),
        "order": data.get("order", []),
        "explained": [],
        "doubt": without_doubt(
            "answers by class-conditional error rates are about one score, normal against anomalous"
        ),
        "lead": sentences[0],
        "sentences": sentences[1:],
        "verdicts": by_pair(run.verdicts),
        "judged": {row["metric"]: row["margin"] for row in run.verdicts},
        "recommendation": run.recommendation,
        "grouping": grouping_context(protocol["groups"], data),
        "published_split_sentence": split_sentence(split, protocol["groups"] != "off") if split else "",
        "folds": folds_of(run.receipts),
        "receipt_sentence": receipt_sentence(run.receipts),
        "rejected": run.rejected,
        "methods": graded_methods(metrics, settings),
        "command": settings.get("command"),
        "settings": settings_lines(settings),
        "versions": settings.get("versions", {}),
    }
    return context, Material(recipes, {}, called, [], 0.0, GRADED_SHOWN, GRADED, classes)


def _facts(settings: Mapping[str, Any], recipes: Sequence[Mapping[str, Any]]) -> list[str]:
    data, protocol = settings["data"], settings["protocol"]
    classes = ", ".join(f"{label} {number:,}" for label, number in data["classes"].items())
    folds = "published split" if settings.get("published_split") else count(protocol["folds"], "fold")
    if protocol["repeats"] > 1:
        folds = f"{protocol['repeats']} × {folds}"
    facts = [f"{count(data['images'], 'image')} ({classes})", count(len(recipes), "recipe"), folds]
    neutralised = settings.get("store", {}).get("neutralise")
    return [*facts, f"neutralised in every image: {', '.join(neutralised)}"] if neutralised else facts


def confusion_figure(material: Material, palette: Palette, *, narrow: bool = False) -> Figure:
    """Draw each recipe's confusion matrix: numbers of images, shaded by their share of the true class.

    Parameters
    ----------
    material : Material
    palette : Palette
    narrow : bool
        Panels below one another, for a phone.
    """
    recipes, classes = material.recipes, material.classes
    title = max(len(material.titles[recipe["recipe"]]) for recipe in recipes)
    side = max(CELL * len(classes), LETTER * title) + 0.4
    columns = 1 if narrow else max(1, min(len(recipes), int(WIDTH / side)))
    rows = math.ceil(len(recipes) / columns)
    columns = math.ceil(len(recipes) / rows)
    longest = LETTER * max(len(label) for label in classes)
    size = (columns * side + longest + 0.7, rows * (side + longest + 0.5) + 0.2)
    figure = Figure(size, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for panel, recipe in zip(panels, recipes, strict=False):
        _matrix(panel, np.asarray(recipe["confusion"]), classes, palette)
        panel.set_title(material.titles[recipe["recipe"]], loc="left")
    for panel in panels[len(recipes) :]:
        panel.set_axis_off()
    for panel in panels[::columns]:
        panel.set_ylabel("Class")
    return figure


def _matrix(panel: Axes, matrix: np.ndarray[Any, Any], classes: Sequence[str], palette: Palette) -> None:
    k = len(classes)
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1e-12)
    for i in range(k):
        for j in range(k):
            shade = Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=palette.series[0], linewidth=0)
            shade.set_alpha(DEEPEST * shares[i, j])
            panel.add_patch(shade)
            number = f"{matrix[i, j]:,.0f}"
            panel.text(j, i - 0.14, number, ha="center", va="center", color=palette.ink, fontsize=8)
            share = decimal(float(shares[i, j]), 2)
            panel.text(j, i + 0.24, share, ha="center", va="center", color=palette.ink, fontsize=6.5)
    panel.set(xlim=(-0.5, k - 0.5), ylim=(k - 0.5, -0.5), aspect="equal", xlabel="Class called")
    panel.set_xticks(range(k), classes, rotation=90)
    panel.set_yticks(range(k), classes)
    panel.tick_params(length=0)
    for side in panel.spines.values():
        side.set_visible(True)


GRADED_FIGURES: Figures = {"metrics": metrics_figure, "confusion": confusion_figure}
"""Every picture of a multi-class run that stands alone as a file, by the file's name."""
