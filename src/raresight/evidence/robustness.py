"""How much of its ranking a recipe keeps under corruption, in one number; and which balance keeps more.

The **robustness** of a recipe is the mean, over corruptions and severities alike, of AUROC above chance, as a
share of what it is on clean images: (mean AUROC − .5) / (clean AUROC − .5). 1: nothing was lost; 0: what is
left is chance. It says nothing of how good the recipe was to begin with: a bad one has little to lose. Hence
**AUROC under corruption**, the mean itself, stands beside it. Both depend on the corruptions and severities
chosen, so they compare recipes under the same ones only.

Source: after the relative corruption error of Hendrycks & Dietterich, "Benchmarking neural network robustness
to common corruptions and perturbations", ICLR 2019; there of error rates and against a fixed network.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from raresight.evidence.conditions import CLEAN, Condition, Conditions, mean_values, span_of
from raresight.evidence.difference import Difference
from raresight.evidence.intervals import LEVEL
from raresight.evidence.judgement import balance_pairs, pair_title, verdict_row, verdict_sentence
from raresight.evidence.metrics import Floats, average, ranking_metrics
from raresight.evidence.verdicts import decide, holm, undecidable

LEAST_AUROC = 0.6
"""A recipe whose AUROC on clean images may be below has too little to lose for a share to mean anything."""

MARGINS = {"robustness": 0.02, "stressed_auroc": 0.01}
"""Practical equivalence of two recipes."""

TITLES = {"robustness": "Robustness", "stressed_auroc": "AUROC under corruption"}


def robustness(clean: Floats, stressed: Floats) -> Floats:
    """Give the share of AUROC above chance that is kept.

    Parameters
    ----------
    clean, stressed : (B,) float arrays
        AUROC on clean images, and its mean over conditions.

    Returns
    -------
    (B,) float array
        NaN where the clean AUROC is not above chance.
    """
    above = np.asarray(clean, np.float64) - 0.5
    share: Floats = np.full(above.shape, np.nan)
    np.divide(np.asarray(stressed, np.float64) - 0.5, above, out=share, where=above > 1e-9)
    return share


def kept(found: Conditions, recipe: str, conditions: Sequence[Condition]) -> dict[str, dict[str, Any]]:
    """Give a recipe's ``robustness`` and ``stressed_auroc`` over some conditions, with 95 % intervals.

    Returns
    -------
    dict
        ``mean, low, high`` each; the robustness is None where the interval on clean images reaches below
        `LEAST_AUROC`.
    """
    values = kept_values(found, recipe, conditions)
    groups = found.evidence.behind("auroc")
    return {name: span_of(point, draws, groups) for name, (point, draws) in values.items()}


def kept_values(
    found: Conditions, recipe: str, conditions: Sequence[Condition]
) -> dict[str, tuple[float, Floats]]:
    """Give both on the rows as they are, and on each resample."""
    clean = found.values(recipe, "auroc")
    stressed = mean_values([found.values(recipe, "auroc", condition) for condition in conditions])
    share = float("nan")
    if min(clean[0], np.quantile(clean[1], (1 - LEVEL) / 2)) >= LEAST_AUROC:
        share = float(robustness(np.array([clean[0]]), np.array([stressed[0]]))[0])
    return {"robustness": (share, robustness(clean[1], stressed[1])), "stressed_auroc": stressed}


def judge_robustness(found: Conditions, recipes: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Judge whether each balance makes its model more or less robust than no resampling.

    The variance is that of paired differences over resamples of groups, plus that between repeats divided by
    their number. Words are those of `raresight.evidence.verdicts`, with the margins of `MARGINS`; Holm's
    correction is over the pairs, for each of the two measures.

    Parameters
    ----------
    found : Conditions
    recipes : iterable of mappings
        ``id``, ``model``, ``representation``, ``balance`` and, where known, ``stochastic`` of each recipe.

    Returns
    -------
    list of dict
        ``model, representation, balance, recipe, against, metric`` (of `MARGINS`), and a verdict's fields,
        see `raresight.evidence.judgement.judge_pairs`.
    """
    rows = {r["id"]: r for r in recipes if r["id"] in found.recipes}
    pairs = balance_pairs(rows)
    groups = found.evidence.groups
    fewest, judged = min(groups["anomalous"], groups["normal"]), []
    for metric, margin in MARGINS.items():
        differences = [_difference(found, *pair, metric) for pair in pairs]
        adjusted = holm([d.p for d in differences])
        for pair, difference, p in zip(pairs, differences, adjusted, strict=True):
            drawn = any(rows[name].get("stochastic") for name in pair)
            repeats = len(np.unique(found.rows(pair[0]).repeat))
            reason = undecidable(fewest, repeats, drawn)
            title = TITLES[metric]
            verdict = decide(difference, difference.p, float(p), margin, title, reason, groups["all"])
            parts = {key: rows[pair[0]][key] for key in ("model", "representation", "balance")}
            said = verdict_sentence(pair_title(rows[pair[0]], rows[pair[1]]), metric, verdict, title)
            own = {**parts, "recipe": pair[0], "against": rows[pair[1]]["balance"], "metric": metric}
            judged.append({**own, **verdict_row(verdict), "sentence": said})
    return judged


def _difference(found: Conditions, recipe: str, against: str, metric: str) -> Difference:
    """Compare two recipes under all conditions, on the same resamples."""
    (new, draws), (old, beside) = (
        kept_values(found, name, found.conditions)[metric] for name in (recipe, against)
    )
    gap, groups = draws - beside, found.evidence.behind("auroc")
    gap = gap[np.isfinite(gap)]
    parts: list[tuple[float, float]] = []
    if len(gap) > 1 and groups > 1:
        parts.append((float(gap.var(ddof=1)) * groups / (groups - 1), float(groups - 1)))
    each = _by_repeat(found, recipe, metric) - _by_repeat(found, against, metric)
    if len(each) > 1:
        parts.append((float(each.var(ddof=1)) / len(each), float(len(each) - 1)))
    return Difference(new - old, tuple(parts))


def _by_repeat(found: Conditions, recipe: str, metric: str) -> Floats:
    """Give the measure in each repeat."""
    clean = _auroc_by_repeat(found, recipe, CLEAN)
    stressed = np.mean([_auroc_by_repeat(found, recipe, c) for c in found.conditions], axis=0)
    return stressed if metric == "stressed_auroc" else robustness(clean, stressed)


def _auroc_by_repeat(found: Conditions, recipe: str, condition: Condition) -> Floats:
    rows = found.rows(recipe, condition)
    values = []
    for repeat in np.unique(rows.repeat):
        units = [np.flatnonzero(rows.unit == unit) for unit in np.unique(rows.unit[rows.repeat == repeat])]
        once = [ranking_metrics(rows.label[i], rows.score[i], np.ones((1, len(i)))) for i in units]
        values.append(average(part["auroc"] for part in once)[0])
    return np.array(values, np.float64)
