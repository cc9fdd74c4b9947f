"""Which recipes are judged against which, and the rows and sentences of ``verdicts.json``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from raresight.evidence.estimates import Evidence, known
from raresight.evidence.format import decimal
from raresight.evidence.influence import Jackknife
from raresight.evidence.metrics import METRICS
from raresight.evidence.names import balance_title, base_name
from raresight.evidence.paired import correlated_bayes, delong, nadeau_bengio
from raresight.evidence.verdicts import HEADLINE, Verdict, verdicts

BASELINES = ("none", "class-weight")
"""What a balance must beat: the first costs nothing, the second nearly nothing."""

Pair = tuple[str, str]


def judge_balances(evidence: Evidence, recipes: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Judge every balance against no resampling, and against class weights where they were asked for.

    Parameters
    ----------
    evidence : Evidence
    recipes : iterable of mappings
        ``id``, ``model``, ``representation``, ``balance`` and, where known, ``stochastic`` of each recipe.

    Returns
    -------
    list of dict
        See `judge_pairs`; with ``model``, ``representation``, ``balance``, and ``against`` a balance.
    """
    rows = {r["id"]: r for r in recipes if r["id"] in evidence.rows}
    pairs = [pair for pair in balance_pairs(rows) if evidence.same_rows(*pair)]
    drawn = [name for name, row in rows.items() if row.get("stochastic")]
    called = {pair: pair_title(rows[pair[0]], rows[pair[1]]) for pair in pairs}
    parts = ("model", "representation", "balance")
    return [
        {
            **{part: rows[found["recipe"]][part] for part in parts},
            **found,
            "against": rows[found["against"]]["balance"],
        }
        for found in judge_pairs(evidence, pairs, called, stochastic=drawn)
    ]


def balance_pairs(rows: Mapping[str, Mapping[str, Any]]) -> list[Pair]:
    """List which recipe is judged against which: every balance against the baselines of its own model."""
    return [
        (name, other)
        for name, row in rows.items()
        for other, beside in rows.items()
        if beside["balance"] in BASELINES
        and row["balance"] not in (beside["balance"], BASELINES[0])
        and (row["model"], row["representation"]) == (beside["model"], beside["representation"])
    ]


def judge_pairs(
    evidence: Evidence, pairs: Sequence[Pair], called: Mapping[Pair, str], *, stochastic: Iterable[str] = ()
) -> list[dict[str, Any]]:
    """Judge pairs of recipes, one row a pair and metric.

    Parameters
    ----------
    evidence : Evidence
    pairs : sequence of (recipe, baseline)
        On the same rows.
    called : mapping
        Pair → how its sentence begins.
    stochastic : iterable of str
        Recipes whose training is random.

    Returns
    -------
    list of dict
        ``recipe, against, metric, decision, difference, low, high`` (95 %)``, low90, high90, p,
        p_adjusted`` (Holm)``, p_rope`` (the Bayesian correlated test's chance of practical equivalence)``,
        margin, error, freedom, reason, more_groups, sentence``; and, reported but never deciding,
        ``nadeau_bengio`` and ``delong`` where they are defined. A verdict on a metric that isn't defined for
        both is left out.
    """
    jackknife = Jackknife(evidence)
    found = verdicts(evidence, pairs, stochastic=stochastic, jackknife=jackknife)
    rows = []
    for pair, by_metric in found.items():
        for metric, verdict in by_metric.items():
            if not math.isfinite(verdict.difference) and metric != HEADLINE:
                continue
            rows.append(
                {
                    "recipe": pair[0],
                    "against": pair[1],
                    "metric": metric,
                    **verdict_row(verdict),
                    **_beside(evidence, jackknife, pair, metric, verdict.margin),
                    "sentence": verdict_sentence(called[pair], metric, verdict),
                }
            )
    return rows


def verdict_row(verdict: Verdict) -> dict[str, Any]:
    """Give a verdict's fields as ``verdicts.json`` has them; see `judge_pairs`."""
    return {
        "decision": verdict.word,
        "difference": known(verdict.difference),
        "low": known(verdict.interval[0]),
        "high": known(verdict.interval[1]),
        "low90": known(verdict.inner[0]),
        "high90": known(verdict.inner[1]),
        "p": known(verdict.p),
        "p_adjusted": known(verdict.p_holm),
        "margin": verdict.margin,
        "error": known(verdict.error),
        "freedom": known(verdict.freedom),
        "reason": verdict.reason,
        "more_groups": verdict.more_groups,
    }


def _beside(
    evidence: Evidence, jackknife: Jackknife, pair: Pair, metric: str, margin: float
) -> dict[str, Any]:
    """Give what the field reports, and what never decides."""
    rows = evidence.rows[pair[0]]
    folds = len(np.unique(rows.unit)) / len(np.unique(rows.repeat))
    differences = jackknife.folds(pair[0], metric) - jackknife.folds(pair[1], metric)
    differences = differences[np.isfinite(differences)]
    found: dict[str, Any] = {"p_rope": None, "nadeau_bengio": None, "delong": None}
    if folds > 1 and len(differences) > 1:
        found["p_rope"] = correlated_bayes(differences, 1 / folds, margin).rope
        found["nadeau_bengio"] = asdict(nadeau_bengio(differences, 1 / (folds - 1)))
    if metric == HEADLINE and folds == 1 and _independent(evidence, pair[0]):
        found["delong"] = asdict(delong(rows.label, rows.score, evidence.rows[pair[1]].score))
    return found


def _independent(evidence: Evidence, recipe: str) -> bool:
    """Tell whether DeLong's test applies: every row a group of its own, and two of each class."""
    rows = evidence.rows[recipe]
    fewest = min(int(rows.label.sum()), int((~rows.label).sum()))
    return len(np.unique(rows.group)) == len(rows.group) and fewest > 1


def pair_title(recipe: Mapping[str, Any], against: Mapping[str, Any]) -> str:
    """Say what is judged against what: "SMOTE against no resampling, svm@embedding"."""
    who = "@".join(part for part in (recipe["model"], recipe["representation"]) if part) or "the detector"
    plain = base_name(against["balance"]) in ("none", "")
    beside = "no resampling" if plain else balance_title(against["balance"])
    return f"{balance_title(recipe['balance'])} against {beside}, {who}"


def verdict_sentence(called: str, metric: str, verdict: Verdict, title: str = "") -> str:
    """Say a verdict as a paper could print it.

    Parameters
    ----------
    called : str
        What is judged: "SMOTE against no resampling, svm@embedding".
    metric : str
    verdict : Verdict
    title : str
        What the metric is called, where it is none of `METRICS`.
    """
    start = f"{called}: {verdict.word}"
    if not math.isfinite(verdict.difference):
        return f"{start}; {verdict.reason}."
    low, high = (decimal(value, sign=True) for value in verdict.interval)
    title = title or METRICS[metric].title
    numbers = f"{title} {decimal(verdict.difference, sign=True)} (95 % interval {low} to {high}"
    if math.isfinite(verdict.p_holm):
        numbers += f"; Holm's p {'< .001' if verdict.p_holm < 0.001 else decimal(verdict.p_holm)}"
    if verdict.word == "equivalent":
        low, high = (decimal(value, sign=True) for value in verdict.inner)
        within = f"the 90 % interval, {low} to {high}, lies within ±{decimal(verdict.margin)}"
        return f"{start}. {numbers}); {within}."
    if verdict.reason:
        return f"{start}, because {verdict.reason}. {numbers})."
    if verdict.word == "inconclusive" and verdict.more_groups:
        return f"{start}. {numbers}); about {verdict.more_groups:,} more patients would decide it."
    return f"{start}. {numbers})."


def recommendation(judged: Sequence[Mapping[str, Any]]) -> str:
    """Say what to do about imbalance on this set, from the verdicts against no resampling.

    Parameters
    ----------
    judged : sequence of mappings
        What `judge_balances` gives.

    Returns
    -------
    str
        A sentence or two; empty where nothing was judged.
    """
    mine = [row for row in judged if row["metric"] == HEADLINE and row["against"] == BASELINES[0]]
    if not mine:
        return ""
    helps = [row for row in mine if row["decision"] == "helps"]
    if helps:
        best = max(helps, key=lambda row: row["low"])
        low, high = (decimal(best[end], sign=True) for end in ("low", "high"))
        return (
            f"Recommended here: {balance_title(best['balance'])} with "
            f"{best['model']}@{best['representation']}, whose AUROC it raises by "
            f"{decimal(best['difference'])} ({low} to {high})."
        )
    words = {row["decision"] for row in mine}
    if words <= {"equivalent", "harms"}:
        return (
            "Recommended here: no resampling, and a threshold learned inside the training folds. Whatever "
            "rebalancing did to sensitivity, moving the threshold does for nothing."
        )
    open_ = sum(row["decision"] == "inconclusive" for row in mine)
    return (
        f"Recommended here: no resampling, and a threshold learned inside the training folds, until more "
        f"images decide; {open_} of {len(mine)} comparisons of AUROC are inconclusive, and none shows that "
        "rebalancing helps."
    )
