"""What becomes of a recipe's alarms, and of the cost of its errors, where anomalies are rarer or commoner."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raresight.evidence.estimates import Evidence, known
from raresight.evidence.intervals import bounded_interval
from raresight.evidence.metrics import Floats
from raresight.evidence.prevalence import check_prevalence, predictive_values

PREVALENCES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)
COST = 10.0
"""What a missed anomaly costs, in false alarms, where nothing else is stated."""


def expected_cost(sensitivity: Floats, specificity: Floats, prevalence: float, ratio: float) -> Floats:
    """Give the cost of errors an image: ratio · π (1 − sensitivity) + (1 − π)(1 − specificity).

    Source: Metz, "Basic principles of ROC analysis", Seminars in Nuclear Medicine 8 (1978).

    Parameters
    ----------
    sensitivity, specificity : float arrays in [0, 1], of one shape
    prevalence : float
        π, above 0 and below 1.
    ratio : float
        What a missed anomaly costs, in false alarms.
    """
    return ratio * prevalence * (1 - sensitivity) + (1 - prevalence) * (1 - specificity)


def across_prevalences(
    evidence: Evidence,
    recipe: str,
    rule: str = "default",
    prevalences: Sequence[float] = PREVALENCES,
    ratio: float = COST,
) -> list[dict[str, Any]]:
    """Carry a recipe's decisions over to other prevalences, each class as it is here.

    Parameters
    ----------
    evidence : Evidence
    recipe : str
        One of its recipes.
    rule : str
        The threshold, which stays where it is.
    prevalences : sequence of float
    ratio : float
        See `expected_cost`.

    Returns
    -------
    list of dict
        One a prevalence: ``prevalence``; ``ppv``, ``npv`` and ``cost``, each ``{"mean", "low", "high"}``; and
        the costs of calling nobody anomalous, ``nobody``, and everybody, ``everybody``. Below the lesser of
        the two the recipe is worth having.
    """
    point, draws = (found[recipe].at[rule] for found in (evidence.point, evidence.draws))
    groups = evidence.behind("ppv")
    found = []
    for prevalence in prevalences:
        check_prevalence(prevalence)
        row: dict[str, Any] = {"prevalence": prevalence}
        here, there = (_values(at, prevalence, ratio) for at in (point, draws))
        most = {"ppv": 1.0, "npv": 1.0, "cost": max(ratio, 1.0)}
        for name, value in here.items():
            low, high = bounded_interval(0.0, most[name], float(value[0]), there[name], groups)
            row[name] = {"mean": known(float(value[0])), "low": known(low), "high": known(high)}
        found.append({**row, "nobody": ratio * prevalence, "everybody": 1 - prevalence})
    return found


def _values(at: dict[str, Floats], prevalence: float, ratio: float) -> dict[str, Floats]:
    sensitivity, specificity = at["sensitivity"], at["specificity"]
    ppv, npv = predictive_values(sensitivity, specificity, prevalence)
    return {"ppv": ppv, "npv": npv, "cost": expected_cost(sensitivity, specificity, prevalence, ratio)}
