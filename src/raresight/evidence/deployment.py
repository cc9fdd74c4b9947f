"""What a recipe would be worth where anomalies are as frequent as stated."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.evidence.decision_curve import net_benefit, threshold_grid, treat_all
from raresight.evidence.estimates import Evidence, RecipeRows, known
from raresight.evidence.intervals import difference_interval, draw_groups, interval
from raresight.evidence.metrics import Bools, Floats, average, divide, probability_metrics
from raresight.evidence.prevalence import (
    brier_of_constant,
    log_loss_of_constant,
    predictive_values,
    prior_correction,
)

_LINES_AT_ONCE = 250
_SCORED = ("brier", "log_loss")


def calibration_of(rows: RecipeRows) -> dict[str, Any]:
    """Say what calibration changed, and what knowing nothing but the prevalence would score.

    Parameters
    ----------
    rows : RecipeRows

    Returns
    -------
    dict
        ``before``: the detector's own probability's metrics, or None where it has none; ``constant``: Brier
        score and log loss of stating the rows' own prevalence of every image, None where a class is missing.
    """
    prevalence = float(rows.label.mean())
    before = None if rows.raw is None else _means(rows, rows.raw, np.ones(len(rows.label)))
    return {"before": before, "constant": _constant(prevalence) if 0 < prevalence < 1 else None}


def at_prevalence(evidence: Evidence, recipe: str, prevalence: float) -> dict[str, Any] | None:
    """Carry a recipe's evidence over to another prevalence: each class as it is here, only rarer or commoner.

    Parameters
    ----------
    evidence : Evidence
    recipe : str
    prevalence : float
        Above 0 and below 1.

    Returns
    -------
    dict or None
        ``prevalence``; ``at``: rule → ``ppv`` and ``npv``, with intervals from the bootstrap over groups;
        ``metrics``: Brier score and log loss of the probabilities corrected to the prevalence, classes
        weighted to it; ``constant``: the same of stating the prevalence of every image; ``decision_curve``:
        lists ``threshold``, ``mean``, ``low``, ``high``, ``all`` (acting on everybody). ``metrics`` and
        ``decision_curve`` are None without probabilities, the whole is None where a class is missing.
    """
    rows = evidence.rows[recipe]
    here = float(rows.label.mean())
    if not 0 < here < 1:
        return None
    counts = _draws(evidence)
    found: dict[str, Any] = {
        "prevalence": prevalence,
        "at": _predictive(evidence, rows, prevalence, counts),
        "metrics": None,
        "constant": _constant(prevalence),
        "decision_curve": None,
    }
    if np.isfinite(rows.probability).all():
        probability = prior_correction(rows.probability, here, prevalence)
        weight = np.where(rows.label, prevalence / here, (1 - prevalence) / (1 - here))
        means = _means(rows, probability, weight)
        found["metrics"] = {name: means[name] for name in _SCORED}
        found["decision_curve"] = _curve(evidence, rows, probability, prevalence, counts)
    return found


def _constant(prevalence: float) -> dict[str, float]:
    return {"brier": brier_of_constant(prevalence), "log_loss": log_loss_of_constant(prevalence)}


def _means(rows: RecipeRows, probability: Floats, weight: Floats) -> dict[str, float | None]:
    """Compute the metrics of probabilities under one weighting of the rows, averaged over repeats."""
    repeats = [np.flatnonzero(rows.repeat == r) for r in np.unique(rows.repeat)]
    parts = [probability_metrics(rows.label[i], probability[i], weight[None, i]) for i in repeats]
    return {name: known(float(average(part[name] for part in parts)[0])) for name in parts[0]}


def _draws(evidence: Evidence) -> NDArray[np.uint16]:
    """Draw the same resamples of groups again that the evidence rests on; before them, each group once."""
    holds = np.zeros(evidence.groups["all"], bool)
    for rows in evidence.rows.values():
        holds[rows.group[rows.label]] = True
    drawn = draw_groups(holds, evidence.resamples, evidence.seed)
    return np.concatenate([np.ones((1, len(holds)), np.uint16), drawn])


def _rates(rows: RecipeRows, called: Bools, counts: NDArray[np.uint16]) -> tuple[Floats, Floats]:
    """Give sensitivity and specificity, (B, k), of k decisions (n, k) under each weighting of the groups."""
    sums = []
    for right in (rows.label[:, None] & called, ~rows.label[:, None] & ~called):
        by_group = np.zeros((counts.shape[1], called.shape[1]))
        np.add.at(by_group, rows.group, right)
        sums.append(by_group)
    totals = [
        np.bincount(rows.group, weights=kind, minlength=counts.shape[1]) for kind in (rows.label, ~rows.label)
    ]
    table = np.column_stack([*sums, *totals])
    starts = range(0, len(counts), _LINES_AT_ONCE)
    found = np.concatenate([counts[i : i + _LINES_AT_ONCE].astype(np.float64) @ table for i in starts])
    k = called.shape[1]
    return divide(found[:, :k], found[:, [-2]]), divide(found[:, k:-2], found[:, [-1]])


def _predictive(
    evidence: Evidence, rows: RecipeRows, prevalence: float, counts: NDArray[np.uint16]
) -> dict[str, Any]:
    values = predictive_values(*_rates(rows, np.column_stack([*rows.flagged.values()]), counts), prevalence)
    found: dict[str, Any] = {rule: {} for rule in rows.flagged}
    for name, draws in zip(("ppv", "npv"), values, strict=True):
        for column, rule in enumerate(rows.flagged):
            point = float(draws[0, column])
            low, high = interval(name, point, draws[1:, column], evidence.behind(name))
            found[rule][name] = {"mean": known(point), "low": known(low), "high": known(high)}
    return found


def _curve(
    evidence: Evidence,
    rows: RecipeRows,
    probability: Floats,
    prevalence: float,
    counts: NDArray[np.uint16],
) -> dict[str, list[float | None]]:
    thresholds = threshold_grid(prevalence)
    called = np.greater_equal.outer(probability, thresholds)
    draws = net_benefit(*_rates(rows, called, counts), prevalence, thresholds)
    behind = evidence.behind("net_benefit")
    spans = [difference_interval(float(d[0]), d[1:], behind) for d in draws.T]
    return {
        "threshold": [float(t) for t in thresholds],
        "mean": [known(float(value)) for value in draws[0]],
        "low": [known(low) for low, _ in spans],
        "high": [known(high) for _, high in spans],
        "all": [float(value) for value in treat_all(prevalence, thresholds)],
    }
