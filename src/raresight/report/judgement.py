"""The page of a judgement: verdicts, curves and metrics of predictions that any tool made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup

from raresight import __version__
from raresight.evidence.judge import Judgement
from raresight.evidence.metrics import METRICS
from raresight.evidence.names import split_id
from raresight.report.context import by_pair
from raresight.report.figures import (
    Material,
    calibration_figure,
    draw,
    precision_recall_figure,
    roc_figure,
)
from raresight.report.page import page, write_whole
from raresight.report.theme import PAGE, for_page
from raresight.report.write import CAPTIONS

_DRAWN = {"roc": roc_figure, "precision-recall": precision_recall_figure, "calibration": calibration_figure}


def write_judgement(found: Judgement, path: str | Path, name: str = "predictions") -> Path:
    """Write a judgement as one self-contained page.

    Parameters
    ----------
    found : Judgement
    path : path
        The file to write.
    name : str
        What was judged, for the heading.

    Returns
    -------
    Path

    Raises
    ------
    RunError
        If the file cannot be written.
    """
    target = Path(path)
    recipes: list[dict[str, Any]] = [{**split_id(row["recipe"]), **row} for row in found.metrics]
    first = recipes[0]
    called = {row["recipe"]: row["recipe"] for row in recipes}
    unknown = {key: {"mean": None, "low": None, "high": None} for key in METRICS}
    whole = [{**row, "metrics": unknown | row["metrics"]} for row in recipes]
    material = Material(whole, found.evidence.rows, called, [], first["positives"] / first["n"])
    drawn = {key: draw(make, material, PAGE, key, "svg") for key, make in _DRAWN.items()}
    content = {
        "name": name,
        "version": __version__,
        "notes": found.notes,
        "groups": found.evidence.groups,
        "recipes": recipes,
        "shown": [key for key in METRICS if any(key in row["metrics"] for row in recipes)],
        "metrics": METRICS,
        "verdicts": by_pair(found.verdicts),
        "judged": {row["metric"]: row["margin"] for row in found.verdicts},
        # Markup: the SVG is ours, and matplotlib escapes the names that it writes into it.
        "pictures": {
            key: Markup(for_page(svg.decode(), key, CAPTIONS[key])) for key, svg in drawn.items() if svg
        },
        "captions": CAPTIONS,
    }
    write_whole(target, page("html", "judgement.html.j2", content))
    return target
