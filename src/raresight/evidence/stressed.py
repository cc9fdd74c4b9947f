"""The content of ``stress.json``: what breaks a recipe, by corruption and severity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from raresight.evidence.conditions import (
    CLEAN,
    KEPT_RULE,
    RESAMPLES,
    Condition,
    Conditions,
    key,
    spread_kept,
    weigh_conditions,
)
from raresight.evidence.estimates import Thresholds, known
from raresight.evidence.format import decimal, estimate_text, span
from raresight.evidence.intervals import LEVEL
from raresight.evidence.names import split_id
from raresight.evidence.prevalence_change import COST, PREVALENCES, across_prevalences
from raresight.evidence.robustness import LEAST_AUROC, MARGINS, judge_robustness, kept

SHOWN = ("auroc", "auprc", "sensitivity", "specificity", "brier", "ece", "calibration_intercept")
"""What is computed of every condition; decisions at the default threshold."""

DRIFTS = ("auroc", "sensitivity", "specificity", "brier", "ece", "calibration_intercept")
"""Of these the paired change from clean images too."""


def summarise_stress(
    clean: pd.DataFrame,
    corrupted: pd.DataFrame,
    thresholds: Thresholds,
    recipes: Sequence[Mapping[str, Any]],
    *,
    cost: float = COST,
    prevalences: Sequence[float] = PREVALENCES,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Compute what predictions under stress show.

    Parameters
    ----------
    clean, corrupted : pandas.DataFrame
        See `weigh_conditions`.
    thresholds : mapping
        (recipe, repeat, fold) → {rule: value}.
    recipes : sequence of mappings
        ``id``, and where known ``model``, ``representation``, ``balance``, ``stochastic``.
    cost : float
        What a missed anomaly costs, in false alarms.
    prevalences : sequence of float
    resamples, seed : int
        Of the bootstrap over groups.

    Returns
    -------
    dict
        ``recipes``: each with ``robustness`` and ``stressed_auroc`` (see `raresight.evidence.robustness`),
        ``clean`` (metrics), ``by_corruption``, ``conditions`` (metrics, ``drift``, ``spread`` of scores as a
        share of the clean one and, as far as `KEPT_RULE`
        was learned, ``kept_specificity``) and ``prevalence`` (rule → rows, see `across_prevalences`);
        ``verdicts``: see `judge_robustness`; ``sentences``; ``intervals``.

    Raises
    ------
    DataError
        See `weigh_conditions`.
    """
    found = weigh_conditions(clean, corrupted, thresholds, resamples=resamples, seed=seed)
    given = {str(r["id"]): dict(r) for r in recipes}
    parts = [{**split_id(name), **given.get(name, {})} for name in found.recipes]
    rows = [_recipe(found, part, cost, prevalences) for part in parts]
    judged = judge_robustness(found, parts)
    return {
        "recipes": rows,
        "verdicts": judged,
        "sentences": [break_sentence(row) for row in rows],
        "cost": cost,
        "margins": MARGINS,
        "least_auroc": LEAST_AUROC,
        "intervals": {
            "level": LEVEL,
            "resamples": resamples,
            "seed": seed,
            "unit": "group",
            "groups": found.evidence.groups,
        },
    }


def _recipe(
    found: Conditions, part: Mapping[str, Any], cost: float, prevalences: Sequence[float]
) -> dict[str, Any]:
    name = str(part["id"])
    first = found.rows(name)
    once = first.repeat == first.repeat[0]
    names = list(dict.fromkeys(corruption for corruption, _ in found.conditions))
    rules = list(first.flagged)
    return {
        "recipe": name,
        **{field: part[field] for field in ("model", "representation", "balance")},
        "n": int(once.sum()),
        "positives": int(first.label[once].sum()),
        **kept(found, name, found.conditions),
        "clean": {metric: found.cell(name, metric) for metric in SHOWN},
        "clean_specificity": _kept_specificity(found, name, CLEAN),
        "by_corruption": [
            {"corruption": each, **kept(found, name, [c for c in found.conditions if c[0] == each])}
            for each in names
        ],
        "conditions": [_condition(found, name, condition) for condition in found.conditions],
        "prevalence": {
            rule: across_prevalences(found.evidence, key(name), rule, prevalences, cost) for rule in rules
        },
    }


def _condition(found: Conditions, name: str, condition: Condition) -> dict[str, Any]:
    return {
        "corruption": condition[0],
        "severity": condition[1],
        "metrics": {metric: found.cell(name, metric, condition) for metric in SHOWN},
        "kept_specificity": _kept_specificity(found, name, condition),
        "spread": known(spread_kept(found.rows(name), found.rows(name, condition))),
        "drift": {
            "threshold": found.threshold_drift(name, condition),
            **{metric: found.drift(name, metric, condition) for metric in DRIFTS},
        },
    }


def _kept_specificity(found: Conditions, name: str, condition: Condition) -> dict[str, float | None] | None:
    """Give what became of the specificity that a learned threshold promised."""
    if KEPT_RULE not in found.rows(name).flagged:
        return None
    return found.cell(name, "specificity", condition, KEPT_RULE)


def break_sentence(row: Mapping[str, Any]) -> str:
    """Say what costs a recipe most, and what least.

    Parameters
    ----------
    row : mapping
        Of ``recipes``.
    """
    clean = row["clean"]["auroc"]["mean"]
    ranked = sorted(row["by_corruption"], key=lambda each: each["stressed_auroc"]["mean"])
    worst, best = ranked[0], ranked[-1]
    start = f"{row['recipe']}: AUROC {decimal(clean)} on clean images, "
    start += f"{estimate_text(row['stressed_auroc'])} under corruption"
    if row["robustness"]["mean"] is not None:
        start += f"; robustness {estimate_text(row['robustness'])}"
    else:
        start += (
            f"; its clean AUROC is, or may be, below {decimal(LEAST_AUROC, 2)} "
            f"({span(row['clean']['auroc'])}), so a robustness would mean nothing"
        )
    if worst["stressed_auroc"]["mean"] >= clean:
        return f"{start}. No corruption lowers it on these images."
    hurt = f"{worst['corruption']} hurts most (mean AUROC {decimal(worst['stressed_auroc']['mean'])})"
    if len(ranked) == 1:
        return f"{start}."
    return f"{start}. {hurt}, {best['corruption']} least ({decimal(best['stressed_auroc']['mean'])})."
