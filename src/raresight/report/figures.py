"""The report's pictures: metrics with intervals, ROC, precision–recall and calibration curves."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, overload

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from raresight.evidence.curves import (
    Curve,
    calibration_curve,
    operating_point,
    precision_recall_curve,
    roc_curve,
)
from raresight.evidence.estimates import RecipeRows
from raresight.evidence.format import decimal
from raresight.evidence.metrics import METRICS, Metric
from raresight.evidence.risk_coverage import answer_doubt, risk_coverage_curve
from raresight.report.theme import Palette, Style, styles

SHOWN = ("accuracy", "sensitivity", "specificity", "f1", "auroc")
"""The paper's four, and the one that no threshold moves."""


@dataclass(frozen=True, slots=True)
class Material:
    """What the pictures are drawn from.

    Attributes
    ----------
    recipes : list of dict
        The rows of ``metrics.json``.
    rows : dict of str to RecipeRows
        Their predictions.
    titles : dict of str to str
    published : list of dict
        From `raresight.evidence.published.beside`; empty where nothing was published on this set.
    prevalence : float
        Share of anomalies.
    names : tuple of str
        The metrics of the first picture.
    kinds : mapping of str to Metric
    classes : tuple of str
        Of a multi-class run, which has pictures of its own; see `raresight.report.graded`.
    """

    recipes: list[dict[str, Any]]
    rows: dict[str, RecipeRows]
    titles: dict[str, str]
    published: list[dict[str, Any]]
    prevalence: float
    names: tuple[str, ...] = SHOWN
    kinds: Mapping[str, Metric] = field(default_factory=lambda: METRICS)
    classes: tuple[str, ...] = ()


@contextmanager
def drawing(palette: Palette, salt: str) -> Iterator[None]:
    """Set matplotlib up for one figure: same input, same bytes; text stays text and is never TeX."""
    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": salt,
        "text.parse_math": False,
        "font.family": "DejaVu Sans",
        "font.size": 9.5,
        "text.color": palette.ink,
        "axes.labelcolor": palette.muted,
        "axes.edgecolor": palette.muted,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.labelsize": 9.5,
        "axes.linewidth": 0.7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.unicode_minus": True,
        "xtick.color": palette.muted,
        "ytick.color": palette.muted,
        "xtick.major.width": 0.7,
        "ytick.major.width": 0.7,
        "xtick.major.size": 3,
        "ytick.major.size": 3,
        "grid.color": palette.grid,
        "grid.linewidth": 0.7,
        "lines.solid_capstyle": "round",
        "legend.frameon": False,
    }
    with mpl.rc_context(settings):
        yield


def metrics_figure(material: Material, palette: Palette, *, narrow: bool = False) -> Figure:
    """Draw the paper's Fig. 1 with intervals: a panel a metric, a line a recipe.

    Parameters
    ----------
    material : Material
    palette : Palette
    narrow : bool
        Panels below one another, for a phone.
    """
    places = _places(material.recipes)
    tall = 0.25 * (places[-1] + 1) + 0.75
    size = (4.3, tall * len(material.names) + 0.5) if narrow else (10.2, tall + 0.6)
    figure = Figure(size, layout="constrained")
    grid = (len(material.names), 1) if narrow else (1, len(material.names))
    panels = figure.subplots(*grid, sharex=not narrow, sharey=not narrow, squeeze=False).ravel()
    look = styles(material.recipes, palette)
    left = _lower_limit(material)
    for panel, name in zip(panels, material.names, strict=True):
        _metric_panel(panel, name, material, look, palette, places)
        panel.set_xlim(left, 1.0 + 0.02 * (1 - left))
        panel.set_ylim(places[-1] + 0.6, -0.6)
    handles = _published_handle(material, palette)
    if handles:
        figure.legend(handles=handles, loc="outside lower right", fontsize=8.5)
    return figure


def _metric_panel(
    panel: Axes,
    name: str,
    material: Material,
    look: Mapping[str, Style],
    palette: Palette,
    places: list[float],
) -> None:
    panel.set_title(material.kinds[name].title, loc="left")
    panel.grid(axis="x")
    panel.set_axisbelow(True)
    panel.spines["left"].set_visible(False)
    panel.tick_params(axis="y", length=0)
    panel.set_yticks(places, [material.titles[r["recipe"]] for r in material.recipes])
    panel.xaxis.set_major_formatter(lambda value, _: decimal(value, 1))
    panel.xaxis.set_major_locator(mpl.ticker.MaxNLocator(4, steps=[1, 2, 5, 10]))
    for label in panel.get_yticklabels():
        label.set_color(palette.ink)
    for place, recipe in zip(places, material.recipes, strict=True):
        cell, style = recipe["metrics"][name], look[recipe["recipe"]]
        if cell["low"] is not None:
            panel.plot([cell["low"], cell["high"]], [place, place], color=style.colour, linewidth=1.8)
        if cell["mean"] is not None:
            panel.plot(cell["mean"], place, **_marker(style, 6))
    for row in material.published:
        place = places[[r["recipe"] for r in material.recipes].index(row["recipe"])]
        if name in row["cells"]:
            panel.plot(row["cells"][name]["published"], place, "x", color=palette.ink, markersize=6, zorder=4)


def _places(recipes: Sequence[Mapping[str, Any]]) -> list[float]:
    """Place a recipe a line, with a gap where another model begins."""
    models = [(r["model"], r["representation"]) for r in recipes]
    gaps = np.cumsum([0.0] + [0.55 * (a != b) for a, b in itertools.pairwise(models)])
    return [float(i + gap) for i, gap in enumerate(gaps)]


def _marker(style: Style, size: float) -> dict[str, Any]:
    return {
        "marker": style.marker,
        "markersize": size if style.marker == "o" else size * 0.92,
        "markerfacecolor": style.fill,
        "markeredgecolor": style.colour,
        "markeredgewidth": 1.5,
        "linestyle": "none",
        "zorder": 3,
        "clip_on": False,
    }


def _lower_limit(material: Material) -> float:
    cells = [recipe["metrics"][name] for recipe in material.recipes for name in material.names]
    values = [v for cell in cells for v in (cell["low"], cell["mean"]) if v is not None]
    values += [row["cells"][name]["published"] for row in material.published for name in row["cells"]]
    least = min(material.kinds[name].low for name in material.names)
    return max(least, float(np.floor((min(values, default=0.5) - 0.02) * 10) / 10))


def _published_handle(material: Material, palette: Palette) -> list[Line2D]:
    if not material.published:
        return []
    label = "published for the same model and balance (Rajaan et al. 2024)"
    return [Line2D([], [], marker="x", linestyle="none", color=palette.ink, markersize=6, label=label)]


def roc_figure(material: Material, palette: Palette) -> Figure:
    """Draw each recipe's mean ROC curve, with the point at which its default threshold works."""
    figure, panel = _square("1 − specificity", "Sensitivity")
    panel.plot([0, 1], [0, 1], color=palette.muted, linewidth=0.8, dashes=(1, 2))
    look = styles(material.recipes, palette)
    for recipe in _drawable(material):
        rows, style = material.rows[recipe["recipe"]], look[recipe["recipe"]]
        _curve(panel, roc_curve(rows), style, drawstyle="default")
        if "default" in rows.flagged:
            panel.plot(*operating_point(rows), **_marker(style, 7))
    _legend(figure, material, look, "auroc", _means(material, "auroc"))
    return figure


def precision_recall_figure(material: Material, palette: Palette) -> Figure:
    """Draw each recipe's mean precision–recall curve; the dotted line is what guessing reaches."""
    figure, panel = _square("Recall (sensitivity)", "Precision (PPV)")
    panel.axhline(material.prevalence, color=palette.muted, linewidth=0.8, dashes=(1, 2))
    look = styles(material.recipes, palette)
    for recipe in _drawable(material):
        _curve(panel, precision_recall_curve(material.rows[recipe["recipe"]]), look[recipe["recipe"]])
    _legend(figure, material, look, "auprc", _means(material, "auprc"))
    return figure


def calibration_figure(material: Material, palette: Palette) -> Figure | None:
    """Draw the share of anomalies against the stated probability; None if no recipe states any."""
    curves = {r["recipe"]: calibration_curve(material.rows[r["recipe"]]) for r in material.recipes}
    return _reliability(material, palette, curves, _means(material, "ece"))


def calibration_before_figure(material: Material, palette: Palette) -> Figure | None:
    """Draw the same of the detectors' own probabilities, before calibration."""
    curves = {r["recipe"]: calibration_curve(material.rows[r["recipe"]], raw=True) for r in material.recipes}
    before = {r["recipe"]: r["calibration"]["before"] for r in material.recipes}
    return _reliability(material, palette, curves, {k: v["ece"] if v else None for k, v in before.items()})


def _reliability(
    material: Material,
    palette: Palette,
    curves: Mapping[str, Curve | None],
    values: Mapping[str, float | None],
) -> Figure | None:
    if not any(curves.values()):
        return None
    figure, panel = _square("Mean probability stated", "Share of anomalies found")
    panel.plot([0, 1], [0, 1], color=palette.muted, linewidth=0.8, dashes=(1, 2))
    look = styles(material.recipes, palette)
    for recipe, curve in curves.items():
        if curve is not None:
            _curve(panel, curve, look[recipe])
            panel.plot(curve.x, curve.y, **_marker(look[recipe], 4.5))
    _legend(figure, material, look, "ece", values)
    return figure


def decision_curve_figure(material: Material, palette: Palette) -> Figure | None:
    """Draw net benefit against threshold probability at the stated prevalence; None where none is stated."""
    found = {r["recipe"]: r.get("at_prevalence") or {} for r in material.recipes}
    curves = {recipe: at["decision_curve"] for recipe, at in found.items() if at.get("decision_curve")}
    if not curves:
        return None
    first = next(iter(curves.values()))
    prevalence = next(at["prevalence"] for at in found.values() if at)
    figure = Figure((4.3, 4.9), layout="constrained")
    panel = figure.subplots()
    panel.set(xlabel="Threshold probability", ylabel="Net benefit")
    panel.set(xlim=(0, first["threshold"][-1]), ylim=(-0.15 * prevalence, 1.08 * prevalence))
    panel.grid(True)
    panel.set_axisbelow(True)
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(lambda value, _: decimal(value, 3 if prevalence < 0.05 else 2))
    panel.axhline(0, color=palette.muted, linewidth=0.8)
    panel.plot(first["threshold"], first["all"], color=palette.muted, linewidth=0.8, dashes=(1, 2))
    look = styles(material.recipes, palette)
    for recipe, curve in curves.items():
        points = (np.array(curve[key], np.float64) for key in ("threshold", "mean"))
        _curve(panel, Curve(*points), look[recipe])
    _legend(figure, material, look)
    return figure


def risk_coverage_figure(material: Material, palette: Palette) -> Figure | None:
    """Draw risk against coverage by the calibrated probability; None if no recipe states any."""
    known = {r["recipe"]: answer_doubt(material.rows[r["recipe"]]) for r in material.recipes}
    curves = {name: risk_coverage_curve(*pair) for name, pair in known.items() if pair is not None}
    if not curves:
        return None
    figure = Figure((4.3, 4.9), layout="constrained")
    panel = figure.subplots()
    # Among the first few answered one error is a large share; it would flatten all the rest.
    top = max(float(curve.y[curve.x >= 0.1].max()) for curve in curves.values())
    panel.set(xlabel="Coverage: share of images answered", ylabel="Risk: share of those answered wrongly")
    panel.set(xlim=(0, 1), ylim=(0, 1.08 * max(top, 0.01)))
    panel.grid(True)
    panel.set_axisbelow(True)
    panel.xaxis.set_major_locator(mpl.ticker.MultipleLocator(0.2))
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter(lambda value, _: decimal(value, 2) if value else "0")
    look = styles(material.recipes, palette)
    for name, curve in curves.items():
        _curve(panel, curve, look[name])
    areas = {name: float(curves[name].y.mean()) if name in curves else None for name in known}
    _legend(figure, material, look, values=areas)
    return figure


def _square(x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure((4.3, 4.9), layout="constrained")
    panel = figure.subplots()
    panel.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel=x, ylabel=y)
    panel.grid(True)
    panel.set_axisbelow(True)
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_locator(mpl.ticker.MultipleLocator(0.2))
        axis.set_major_formatter(lambda value, _: decimal(value, 1) if value else "0")
    return figure, panel


def _drawable(material: Material) -> list[dict[str, Any]]:
    """Leave recipes out whose every fold lacks a class."""
    return [r for r in material.recipes if r["metrics"]["auroc"]["mean"] is not None]


def _curve(panel: Axes, curve: Curve, style: Style, **options: Any) -> None:
    (line,) = panel.plot(curve.x, curve.y, color=style.colour, linewidth=1.6, **options)
    if style.dashes:
        line.set_dashes(style.dashes)


def _means(material: Material, metric: str) -> dict[str, float | None]:
    return {recipe["recipe"]: recipe["metrics"][metric]["mean"] for recipe in material.recipes}


def _legend(
    figure: Figure,
    material: Material,
    look: Mapping[str, Style],
    metric: str | None = None,
    values: Mapping[str, float | None] | None = None,
) -> None:
    """Name the recipes below the picture, each with its figure."""
    handles = []
    for recipe in material.recipes:
        style = look[recipe["recipe"]]
        value = decimal(values[recipe["recipe"]]) if values else ""
        handle = Line2D([], [], **_marker(style, 5.5), color=style.colour, linewidth=1.6)
        handle.set_linestyle((0, style.dashes) if style.dashes else "-")
        handle.set_label(f"{material.titles[recipe['recipe']]}  {value}".rstrip())
        handles.append(handle)
    columns = 2 if len(handles) > 1 else 1
    title = f"Recipe, {METRICS[metric].title}" if metric else "Recipe"
    legend = figure.legend(
        handles=handles, loc="outside lower left", ncols=columns, fontsize=8, title=title, alignment="left"
    )
    legend.get_title().set_fontsize(8)


Figures = dict[str, Callable[[Material, Palette], Figure | None]]

FIGURES: Figures = {
    "metrics": metrics_figure,
    "roc": roc_figure,
    "precision-recall": precision_recall_figure,
    "calibration-before": calibration_before_figure,
    "calibration": calibration_figure,
    "risk-coverage": risk_coverage_figure,
    "decision-curve": decision_curve_figure,
}
"""Every picture that stands alone as a file, by the file's name."""


def draw(
    make: Callable[..., Figure | None],
    material: Material,
    palette: Palette,
    name: str,
    form: str,
    **options: Any,
) -> bytes | None:
    """Draw one picture.

    Parameters
    ----------
    make : callable
        One of `FIGURES`.
    material : Material
    palette : Palette
    name : str
        Decides the ids inside an SVG.
    form : {"svg", "png"}
        SVG is transparent; PNG is white at 200 dots an inch.
    **options
        For `make`.

    Returns
    -------
    bytes or None
        None where there is nothing to draw.
    """
    return render(lambda colours: make(material, colours, **options), palette, name, form)


@overload
def render(make: Callable[[Palette], Figure], palette: Palette, name: str, form: str) -> bytes: ...


@overload
def render(
    make: Callable[[Palette], Figure | None], palette: Palette, name: str, form: str
) -> bytes | None: ...


def render(make: Callable[[Palette], Figure | None], palette: Palette, name: str, form: str) -> bytes | None:
    """Draw what a function makes of a palette, as `draw` does; None where it makes nothing."""
    with drawing(palette, name):
        figure = make(palette)
        if figure is None:
            return None
        FigureCanvasAgg(figure)
        stream = io.BytesIO()
        if form == "svg":
            nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
            figure.savefig(stream, format="svg", transparent=True, metadata=nothing)
        else:
            figure.savefig(
                stream, format="png", dpi=200, facecolor=palette.surface, metadata={"Software": None}
            )
        return stream.getvalue()
