"""Another set beside one's own: what each fold's model does there, and how far its threshold is off."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from raresight.evidence.conditions import RESAMPLES, span_of, threshold_shift
from raresight.evidence.estimates import Evidence, RecipeRows, Thresholds, weigh
from raresight.evidence.intervals import draw_groups
from raresight.evidence.metrics import Floats


def summarise_elsewhere(
    external: pd.DataFrame,
    own: pd.DataFrame,
    thresholds: Thresholds,
    shown: Sequence[str],
    drifts: Sequence[str],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Compare another set, scored by every fold's model, with one's own out-of-fold predictions.

    Parameters
    ----------
    external, own : pandas.DataFrame
        Predictions, see `raresight.evidence.estimates.COLUMNS`; every fold's model scored all external rows.
    thresholds : mapping
        (recipe, repeat, fold) → {rule: value}.
    shown, drifts : sequence of str
        Metrics to give, and those whose change to give.
    resamples, seed : int
        Of the bootstraps over groups, one for each set.

    Returns
    -------
    list of dict
        One a recipe: ``recipe, n, positives, models``; ``metrics`` of the external set and ``own``, at the
        folds' default thresholds; ``drift``: external − own with intervals, the sets taken as independent,
        and ``threshold``, see `threshold_shift`.
    """
    there = weigh(external, thresholds, resamples=resamples, seed=seed + 1)
    here = weigh(own, thresholds, resamples=resamples, seed=seed)
    return [_recipe(there, here, name, shown, drifts) for name in there.rows if name in here.rows]


def _recipe(
    there: Evidence, here: Evidence, name: str, shown: Sequence[str], drifts: Sequence[str]
) -> dict[str, Any]:
    rows = there.rows[name]
    first = rows.unit == rows.unit[0]
    return {
        "recipe": name,
        "n": int(first.sum()),
        "positives": int(rows.label[first].sum()),
        "models": len(np.unique(rows.unit)),
        "metrics": {metric: there.cell(name, metric) for metric in shown},
        "own": {metric: here.cell(name, metric) for metric in shown},
        "drift": {
            "threshold": _threshold(there, here, name),
            **{metric: _drift(there, here, name, metric) for metric in drifts},
        },
    }


def _drift(there: Evidence, here: Evidence, name: str, metric: str) -> dict[str, float | None]:
    """Give external − own; the draws of the two are independent, so their difference is the difference's."""
    point = float((there.point[name].value(metric) - here.point[name].value(metric))[0])
    draws = there.draws[name].value(metric) - here.draws[name].value(metric)
    return span_of(point, draws, min(there.behind(metric), here.behind(metric)))


def _threshold(there: Evidence, here: Evidence, name: str) -> dict[str, float | None]:
    """Give the shift of the threshold that spares 95 % of normal rows, each set resampled by itself."""
    own, other = here.rows[name], there.rows[name]
    joined = _joined(own, other, here.groups["all"])
    once = np.ones((1, here.groups["all"] + there.groups["all"]), np.uint16)
    counts = np.concatenate([_draws(here), _draws(there)], axis=1)
    draws: Floats = threshold_shift(own, joined, counts)
    groups = min(here.groups["normal"], there.groups["normal"])
    return span_of(float(threshold_shift(own, joined, once)[0]), draws, groups)


def _draws(evidence: Evidence) -> Any:
    holds = np.zeros(evidence.groups["all"], bool)
    for rows in evidence.rows.values():
        holds[rows.group[rows.label]] = True
    return draw_groups(holds, evidence.resamples, evidence.seed)


def _joined(own: RecipeRows, other: RecipeRows, groups: int) -> RecipeRows:
    """Give the other set's groups numbers after one's own."""
    return RecipeRows(
        other.label, other.score, other.probability, other.group + groups, other.repeat, other.unit, {}
    )
