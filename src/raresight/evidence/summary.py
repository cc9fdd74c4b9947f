"""The content of ``metrics.json`` and ``verdicts.json``: all that the predictions show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from raresight.evidence.deployment import at_prevalence, calibration_of
from raresight.evidence.estimates import Evidence, Thresholds, folds_left_out, weigh
from raresight.evidence.intervals import LEVEL, RESAMPLES
from raresight.evidence.judgement import BASELINES, judge_balances, recommendation
from raresight.evidence.metrics import METRICS, names_of
from raresight.evidence.names import split_id
from raresight.evidence.sentences import effects, ranking_sentence
from raresight.evidence.verdicts import HEADLINE


def summarise(
    predictions: pd.DataFrame,
    thresholds: Thresholds,
    receipts: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Any],
    *,
    rule: str = "default",
    resamples: int = RESAMPLES,
) -> dict[str, Any]:
    """Compute what ``metrics.json`` and ``verdicts.json`` hold.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Out-of-fold: ``recipe, repeat, fold, row, file, group, label, score, probability``.
    thresholds : mapping
        (recipe, repeat, fold) → {rule: value on the scale of score}.
    receipts : sequence of mappings
        One a task: ``recipe`` and ``seconds`` are read.
    settings : mapping
        ``run.json``: ``recipes``, ``protocol.seed`` and ``protocol.prevalence`` are read.
    rule : str
        The threshold rule of each row's ``metrics``.
    resamples : int
        Of the bootstrap over groups.

    Returns
    -------
    dict
        ``recipes``: design.md 4.3's rows with ``recipe`` (the id), ``at`` (rule → metrics of its
        decisions), ``calibration`` (see `calibration_of`), ``folds_left_out`` (without both classes, so
        without a ranking) and, where a prevalence is stated, ``at_prevalence`` (see there) added;
        ``effects`` and ``sentences``: what each balance did; ``verdicts``: see `judge_balances`, and
        ``recommendation``; ``intervals``: how they were made. Values that are not defined are None.

    Raises
    ------
    DataError
        If the predictions cannot be judged; see `weigh`.
    """
    seed = int(settings.get("protocol", {}).get("seed", 0))
    evidence = weigh(predictions, thresholds, resamples=resamples, seed=seed)
    known = {r["id"]: r for r in settings.get("recipes", [])}
    parts = [{**split_id(name), **known.get(name, {})} for name in evidence.rows]
    rows = [_recipe(evidence, part, receipts, rule) for part in parts]
    stated = settings.get("protocol", {}).get("prevalence")
    if stated is not None:
        for row in rows:
            row["at_prevalence"] = at_prevalence(evidence, row["recipe"], float(stated))
    judged = judge_balances(evidence, parts)
    ranking = [row for row in judged if row["metric"] == HEADLINE and row["against"] == BASELINES[0]]
    found = effects(evidence, parts, {row["recipe"]: row["reason"] for row in ranking})
    first = ranking_sentence(rows)
    return {
        "recipes": rows,
        "effects": found,
        "verdicts": judged,
        "recommendation": recommendation(judged),
        "sentences": [*([first] if first else []), *(effect["sentence"] for effect in found)],
        "intervals": {
            "level": LEVEL,
            "resamples": resamples,
            "seed": seed,
            "unit": "group",
            "groups": evidence.groups,
        },
    }


def _recipe(
    evidence: Evidence, part: Mapping[str, str], receipts: Iterable[Mapping[str, Any]], rule: str
) -> dict[str, Any]:
    name = part["id"]
    rows = evidence.rows[name]
    first = rows.repeat == rows.repeat[0]
    own = [receipt["seconds"] for receipt in receipts if receipt["recipe"] == name]
    return {
        "recipe": name,
        **{key: part[key] for key in ("model", "representation", "balance")},
        "n": int(first.sum()),
        "positives": int(rows.label[first].sum()),
        "folds_left_out": folds_left_out(rows),
        "metrics": {metric: evidence.cell(name, metric, rule) for metric in METRICS},
        "at": {
            other: {metric: evidence.cell(name, metric, other) for metric in names_of("decision")}
            for other in rows.flagged
        },
        "calibration": calibration_of(rows),
        "seconds": {step: sum(float(seconds[step]) for seconds in own) for step in ("fit", "predict")},
    }
