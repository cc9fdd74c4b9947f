"""The content of ``metrics.json`` and ``verdicts.json`` for several classes: metrics, verdicts, sentences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from raresight.evidence.format import decimal, estimate_text
from raresight.evidence.intervals import LEVEL
from raresight.evidence.judgement import (
    BASELINES,
    Pair,
    balance_pairs,
    pair_title,
    verdict_row,
    verdict_sentence,
)
from raresight.evidence.multiclass import (
    GRADED,
    GRADED_RESAMPLES,
    PER_CLASS,
    ClassEvidence,
    confusions,
    weigh_classes,
)
from raresight.evidence.names import balance_title, split_id
from raresight.evidence.paired import correlated_bayes, nadeau_bengio
from raresight.evidence.sentences import is_clear, is_small, moved, ranking_moved
from raresight.evidence.verdicts import decide, holm, undecidable

GRADED_MARGINS = {"macro_auroc": 0.01, "balanced_accuracy": 0.02, "quadratic_kappa": 0.02}
"""What verdicts are about, and the difference below which none is worth having."""

GRADED_HEADLINE = "macro_auroc"
ORDINAL = frozenset({"quadratic_kappa"})
"""Metrics that mean something only of classes with an order."""

DECISIONS = ("balanced_accuracy", "quadratic_kappa")


def summarise_classes(
    predictions: pd.DataFrame,
    receipts: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    *,
    resamples: int = GRADED_RESAMPLES,
) -> dict[str, Any]:
    """Compute what ``metrics.json`` and ``verdicts.json`` hold of a multi-class run.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Out-of-fold: ``recipe, repeat, fold, row, file, group, label, predicted, score_0`` …
    receipts : sequence of mappings
        One a task: ``recipe`` and ``seconds`` are read.
    settings : mapping
        ``run.json``: ``data.classes`` (in their order), ``data.ordered`` (whether that means anything, and
        quadratic kappa with it), ``recipes`` and ``protocol.seed`` are read.
    resamples : int
        Of the bootstrap over groups.

    Returns
    -------
    dict
        ``task``, ``classes``; ``recipes``: one row a recipe with ``metrics`` (see `GRADED`), ``per_class``
        (label → see `PER_CLASS`), ``counts`` (label → images) and ``confusion`` (true class × class called,
        the mean over repeats); ``effects``, ``sentences``, ``verdicts``, ``recommendation``, ``intervals``.
        Values that are not defined are None.

    Raises
    ------
    DataError
        If the predictions cannot be judged.
    """
    classes, seed = list(settings["data"]["classes"]), int(settings.get("protocol", {}).get("seed", 0))
    evidence = weigh_classes(predictions, len(classes), resamples=resamples, seed=seed)
    known = {r["id"]: r for r in settings.get("recipes", [])}
    parts = {name: {**split_id(name), **known.get(name, {})} for name in evidence.rows}
    rows = [_recipe(evidence, part, classes, receipts) for part in parts.values()]
    ordered = bool(settings["data"].get("ordered"))
    judged = judge_graded(evidence, parts, ordered)
    found = _effects(evidence, parts, ordered)
    return {
        "task": "multiclass",
        "classes": classes,
        "recipes": rows,
        "effects": found,
        "verdicts": judged,
        "recommendation": graded_recommendation(judged, rows),
        "sentences": [_best_sentence(rows, ordered), *(effect["sentence"] for effect in found)],
        "intervals": {
            "level": LEVEL,
            "resamples": resamples,
            "seed": seed,
            "unit": "group",
            "groups": {
                "all": evidence.groups,
                **dict(zip(classes, evidence.holding.tolist(), strict=True)),
            },
        },
    }


def _recipe(
    evidence: ClassEvidence,
    part: Mapping[str, Any],
    classes: Sequence[str],
    receipts: Iterable[Mapping[str, Any]],
) -> dict[str, Any]:
    name, k = part["id"], evidence.classes
    rows = evidence.rows[name]
    first = rows.repeat == rows.repeat[0]
    own = [receipt["seconds"] for receipt in receipts if receipt["recipe"] == name]
    once = np.ones((1, evidence.groups), np.uint16)
    matrix = confusions(rows, once, k)[0] / len(np.unique(rows.repeat))
    counts = np.bincount(rows.label[first], minlength=k)
    return {
        "recipe": name,
        **{key: part[key] for key in ("model", "representation", "balance")},
        "n": int(first.sum()),
        "counts": dict(zip(classes, counts.tolist(), strict=True)),
        "metrics": {metric: evidence.cell(name, metric) for metric in GRADED},
        "per_class": {
            label: {metric: evidence.class_cell(name, metric, number) for metric in PER_CLASS}
            for number, label in enumerate(classes)
        },
        "confusion": matrix.tolist(),
        "seconds": {step: sum(float(seconds[step]) for seconds in own) for step in ("fit", "predict")},
    }


# --- verdicts ------------------------------------------------------------------------------------


def judge_graded(
    evidence: ClassEvidence, parts: Mapping[str, Mapping[str, Any]], ordered: bool = True
) -> list[dict[str, Any]]:
    """Judge every balance against no resampling, and against class weights where they were asked for.

    The rules are those of the binary task (`raresight.evidence.verdicts.verdicts`): equivalent where the
    90 % interval lies inside the margin, else helps or harms where Holm's p is below .05, by metric and over
    all pairs. The variance over groups comes from the bootstrap.

    Parameters
    ----------
    evidence : ClassEvidence
    parts : mapping
        Recipe → ``model``, ``representation``, ``balance`` and, where known, ``stochastic``.
    ordered : bool
        Whether the classes are grades; else quadratic kappa is not judged.

    Returns
    -------
    list of dict
        One a pair and metric of `GRADED_MARGINS`, as `raresight.evidence.judgement.judge_balances` has them.
    """
    pairs = [pair for pair in balance_pairs(parts) if evidence.same_rows(*pair)]
    found: dict[tuple[Pair, str], dict[str, Any]] = {}
    margins = {m: v for m, v in GRADED_MARGINS.items() if ordered or m not in ORDINAL}
    for metric, margin in margins.items():
        differences = [evidence.difference(*pair, metric) for pair in pairs]
        adjusted = holm([difference.p for difference in differences])
        for pair, difference, p in zip(pairs, differences, adjusted, strict=True):
            title, reason = GRADED[metric].title, _undecidable(evidence, parts, pair)
            verdict = decide(difference, difference.p, float(p), margin, title, reason, evidence.groups)
            first, second = (parts[name] for name in pair)
            found[pair, metric] = {
                **{part: first[part] for part in ("model", "representation", "balance")},
                "recipe": pair[0],
                "against": second["balance"],
                "metric": metric,
                **verdict_row(verdict),
                **_beside(evidence, pair, metric, margin),
                "sentence": verdict_sentence(pair_title(first, second), metric, verdict, title),
            }
    return [found[pair, metric] for pair in pairs for metric in margins]


def _undecidable(evidence: ClassEvidence, parts: Mapping[str, Mapping[str, Any]], pair: Pair) -> str:
    repeats = min(len(np.unique(evidence.rows[recipe].repeat)) for recipe in pair)
    drawn = any(bool(parts[recipe].get("stochastic")) for recipe in pair)
    return undecidable(int(evidence.holding.min()), repeats, drawn)


def _beside(evidence: ClassEvidence, pair: Pair, metric: str, margin: float) -> dict[str, Any]:
    """Give what the field reports, and what never decides."""
    rows = evidence.rows[pair[0]]
    folds = len(np.unique(rows.unit)) / len(np.unique(rows.repeat))
    differences = evidence.folds(pair[0], metric) - evidence.folds(pair[1], metric)
    differences = differences[np.isfinite(differences)]
    if folds < 2 or len(differences) < 2:
        return {"p_rope": None, "nadeau_bengio": None}
    return {
        "p_rope": correlated_bayes(differences, 1 / folds, margin).rope,
        "nadeau_bengio": asdict(nadeau_bengio(differences, 1 / (folds - 1))),
    }


# --- in words ------------------------------------------------------------------------------------


def _effects(
    evidence: ClassEvidence, parts: Mapping[str, Mapping[str, Any]], ordered: bool
) -> list[dict[str, Any]]:
    """Compare every balance with ``none``, for the same model and representation, on the same rows."""
    found = []
    for recipe, against in balance_pairs(parts):
        if parts[against]["balance"] != BASELINES[0] or not evidence.same_rows(recipe, against):
            continue
        changes = {name: evidence.change(recipe, against, name) for name in GRADED}
        effect = {
            "recipe": recipe,
            "against": against,
            **{part: parts[recipe][part] for part in ("model", "representation", "balance")},
            "changes": changes,
        }
        reason = _undecidable(evidence, parts, (recipe, against))
        found.append({**effect, "sentence": _sentence(effect, reason, ordered)})
    return found


def _sentence(effect: Mapping[str, Any], undecided: str, ordered: bool) -> str:
    changes = effect["changes"]
    decisions = [name for name in DECISIONS if ordered or name not in ORDINAL]
    told = " and its ".join(f"{_in_text(name)} {moved(changes[name])}" for name in decisions)
    return (
        f"With {balance_title(effect['balance'])}, {effect['model']}@{effect['representation']}'s {told}, "
        f"while macro AUROC {ranking_moved(changes[GRADED_HEADLINE])}: "
        f"{_conclusion(changes, decisions, undecided)}."
    )


def _conclusion(changes: Mapping[str, Any], decisions: Sequence[str], undecided: str) -> str:
    """Draw the cautious conclusion from the changes' 95 % intervals."""
    decided = any(is_clear(changes[name]) for name in decisions)
    ranking = changes[GRADED_HEADLINE]
    if is_small(ranking):
        if decided:
            return "other decisions, not a better ranking"
        return "a small change of the ranking alone" if is_clear(ranking) else "no clear change"
    if is_clear(ranking) and undecided:
        return f"a change of the ranking that is not decided, because {undecided}"
    if is_clear(ranking):
        return f"a {'better' if (ranking['difference'] or 0) > 0 else 'worse'} ranking of the images"
    if decided:
        return "the decisions moved; whether the ranking did, these images cannot tell"
    return "no clear change, and too few images to rule one out"


def _best_sentence(rows: Sequence[Mapping[str, Any]], ordered: bool) -> str:
    """Name the recipe with the best quadratic kappa; of classes without order, balanced accuracy."""
    names = ["quadratic_kappa", "accuracy", "balanced_accuracy", GRADED_HEADLINE]
    if not ordered:
        names = ["balanced_accuracy", "accuracy", GRADED_HEADLINE]
    best = max(rows, key=lambda row: _value(row, names[0]))
    among = f"Of {len(rows)} recipes, {best['recipe']} does best"
    start = among if len(rows) > 1 else f"{best['recipe']} was tested alone"
    cells = best["metrics"]
    return f"{start}: {', '.join(f'{_in_text(name)} {estimate_text(cells[name])}' for name in names)}."


def _value(row: Mapping[str, Any], metric: str) -> float:
    value = row["metrics"][metric]["mean"]
    return -1.0 if value is None else float(value)


def graded_recommendation(judged: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> str:
    """Say what to do about imbalance on this set, from the verdicts against no resampling.

    Parameters
    ----------
    judged : sequence of mappings
        What `judge_graded` gives.
    rows : sequence of mappings
        The recipes of ``metrics.json``: one that does as well with no balance is named.

    Returns
    -------
    str
        A sentence or two; empty where nothing was judged.
    """
    mine = [row for row in judged if row["against"] == BASELINES[0]]
    if not mine:
        return ""
    for metric in (GRADED_HEADLINE, *DECISIONS):
        helps = [row for row in mine if row["metric"] == metric and row["decision"] == "helps"]
        if helps:
            return _helping(max(helps, key=lambda row: row["low"]), mine, rows)
    undecided = [row for row in mine if row["decision"] == "inconclusive"]
    if undecided:
        return (
            f"Recommended here: no resampling, until more images decide; {len(undecided)} of {len(mine)} "
            "comparisons are inconclusive, and none shows that rebalancing helps."
        )
    return "Recommended here: no resampling; rebalancing made no difference worth having, or harmed."


def _helping(
    best: Mapping[str, Any], mine: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]
) -> str:
    low, high = (decimal(best[end], sign=True) for end in ("low", "high"))
    metric = best["metric"]
    gain = f"whose {_in_text(metric)} it raises by {decimal(best['difference'])} ({low} to {high})"
    harmed = [
        _in_text(row["metric"])
        for row in mine
        if row["recipe"] == best["recipe"] and row["decision"] == "harms"
    ]
    price = f"; it harms {' and '.join(harmed)}" if harmed else ""
    start = "Recommended here"
    if metric != GRADED_HEADLINE:
        start = f"No balance ranks the images better; where {_in_text(metric)} counts"
    who = f"{balance_title(best['balance'])} with {best['model']}@{best['representation']}"
    return f"{start}: {who}, {gain}{price}.{_without(best, rows)}"


def _without(best: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """Name the recipe that does as well with no balance, if there is one."""
    metric = best["metric"]
    own = next(_value(row, metric) for row in rows if row["recipe"] == best["recipe"])
    plain = [row for row in rows if row["balance"] == BASELINES[0]]
    other = max(plain, key=lambda row: _value(row, metric))
    if _value(other, metric) < own:
        return ""
    return (
        f" Without any, {other['model']}@{other['representation']} reaches {decimal(_value(other, metric))}, "
        f"against its {decimal(own)}."
    )


def _in_text(metric: str) -> str:
    """Call a metric inside a sentence: ``macro AUROC``."""
    title = GRADED[metric].title
    return title[0].lower() + title[1:]
