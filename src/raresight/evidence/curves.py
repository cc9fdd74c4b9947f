"""Curves from predictions: ROC, precision–recall, calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from raresight.evidence.estimates import RecipeRows
from raresight.evidence.metrics import Bools, Floats, average, equal_mass_bins

GRID = np.linspace(0, 1, 201)
CALIBRATION_BINS = 10


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a curve, (k,) each."""

    x: Floats
    y: Floats


def roc_curve(rows: RecipeRows) -> Curve:
    """Average the folds' ROC curves vertically: sensitivity against 1 − specificity (Fawcett 2006).

    Each fold's curve is its own model's; the area under the mean is the mean of the folds' areas, up to
    the grid of 201 points.
    """
    return Curve(np.r_[0.0, GRID], np.r_[0.0, average(_roc(rows, i) for i in _units(rows))])


def precision_recall_curve(rows: RecipeRows) -> Curve:
    """Average the folds' precision vertically over recall, in the steps that average precision sums."""
    return Curve(GRID, average(_precision(rows, i) for i in _units(rows)))


def calibration_curve(rows: RecipeRows, *, raw: bool = False) -> Curve | None:
    """Share of anomalies against mean probability in ten bins of equal mass; None without probabilities.

    Parameters
    ----------
    rows : RecipeRows
    raw : bool
        The detector's own probability, before calibration.
    """
    p = rows.raw if raw else rows.probability
    if p is None or np.isnan(p).any():
        return None
    bins = equal_mass_bins(p, CALIBRATION_BINS)
    filled = np.unique(bins)
    means = [(p[bins == b].mean(), rows.label[bins == b].mean()) for b in filled]
    return Curve(*np.array(means, np.float64).T)


def operating_point(rows: RecipeRows, rule: str = "default") -> tuple[float, float]:
    """Give 1 − specificity and sensitivity of a rule's decisions, all folds and repeats together."""
    flagged = rows.flagged[rule]
    return _share(flagged, ~rows.label), _share(flagged, rows.label)


def _share(flagged: Bools, among: Bools) -> float:
    return float(flagged[among].mean()) if among.any() else float("nan")


def _units(rows: RecipeRows) -> list[NDArray[np.int64]]:
    """Rows of each (repeat, fold) that holds both classes."""
    parts = [np.flatnonzero(rows.unit == unit) for unit in np.unique(rows.unit)]
    return [i for i in parts if 0 < rows.label[i].sum() < len(i)]


def _counts(rows: RecipeRows, chosen: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Count true and false positives at each distinct score, from the highest down."""
    order = chosen[np.argsort(-rows.score[chosen], kind="stable")]
    ends = np.r_[np.flatnonzero(np.diff(rows.score[order])), len(order) - 1]
    hits = np.cumsum(rows.label[order])[ends].astype(np.float64)
    return hits, ends + 1.0 - hits


def _roc(rows: RecipeRows, chosen: NDArray[np.int64]) -> Floats:
    hits, alarms = _counts(rows, chosen)
    x, y = np.r_[0.0, alarms / alarms[-1]], np.r_[0.0, hits / hits[-1]]
    # Where the curve rises straight up, interp takes the highest point for that x.
    return np.asarray(np.interp(GRID, x, y), np.float64)


def _precision(rows: RecipeRows, chosen: NDArray[np.int64]) -> Floats:
    hits, alarms = _counts(rows, chosen)
    recall, precision = hits / hits[-1], hits / (hits + alarms)
    return precision[np.minimum(np.searchsorted(recall, GRID - 1e-12, "left"), len(recall) - 1)]
