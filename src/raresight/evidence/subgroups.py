"""How recipes do on subgroups, and whether the worst of them is worse than chance makes one look.

The worst of several subgroups looks bad even where all are alike: somebody comes last. So a subgroup's value
is set against that of all other images; how large such a difference is by chance, patients dealt anew to
subgroups tell (`raresight.evidence.permuted`); and its p is adjusted for all subgroups looked at (Holm). Only
where that is below .05 is the worst called worse, and nothing is said of a subgroup with few patients. How
often that is right on simulated studies: ``benchmarks/stress_validity.md``.

Source: Holm, Scand. J. Statistics 6 (1979); on why the worst subgroup needs it, Cherian & Candès,
"Statistical inference for fairness auditing", JMLR 25 (2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from raresight.evidence.estimates import Evidence, Thresholds, known, weigh
from raresight.evidence.format import decimal, span
from raresight.evidence.intervals import LEVEL, interval
from raresight.evidence.metrics import METRICS, Floats
from raresight.evidence.permuted import PERMUTATIONS, permutation_p, permuted_differences
from raresight.evidence.verdicts import FEWEST_GROUPS, SIGNIFICANCE, holm

SHOWN = ("auroc", "sensitivity", "specificity", "brier", "calibration_intercept")
"""What is computed of every subgroup; decisions at the default threshold."""

COMPARED = ("auroc", "sensitivity", "specificity")
"""What the worst subgroup is sought by; higher is better."""

RESAMPLES = 1000
"""Fewer than for a run's metrics: there are many subgroups, and an interval moves in the third digit."""

KINDS = ("anomalous", "normal")
_BEHIND = {"sensitivity": KINDS[:1], "specificity": KINDS[1:]}


@dataclass(frozen=True, slots=True)
class Level:
    """One subgroup.

    Attributes
    ----------
    column, level : str
        ``age:10`` and ``20–29``.
    rows : int64 array
        Rows of the set.
    images, anomalies : int
    groups : dict of str to int
        ``anomalous``, ``normal``: groups (patients) with at least one such row.
    """

    column: str
    level: str
    rows: NDArray[np.int64]
    images: int
    anomalies: int
    groups: dict[str, int]

    @property
    def name(self) -> str:
        """The column and the level."""
        return f"{self.column} = {self.level}"

    def behind(self, metric: str) -> int:
        """Count the groups that a metric rests on."""
        return min(self.groups[kind] for kind in _BEHIND.get(metric, KINDS))

    @property
    def warning(self) -> str:
        """Say that there are too few patients to say anything; empty where there are enough."""
        few = [f"{self.groups[kind]} {kind}" for kind in KINDS if self.groups[kind] < FEWEST_GROUPS]
        if not few:
            return ""
        return (
            f"{self.name} has only {' and '.join(few)} group(s) (patients); {FEWEST_GROUPS} of each are the "
            "fewest that anything can be said of"
        )


def summarise_subgroups(
    predictions: pd.DataFrame,
    thresholds: Thresholds,
    table: pd.DataFrame,
    *,
    resamples: int = RESAMPLES,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> dict[str, Any]:
    """Compute the ``subgroups`` part of ``metrics.json``.

    Parameters
    ----------
    predictions : pandas.DataFrame
        Out-of-fold, see `raresight.evidence.estimates.COLUMNS`.
    thresholds : mapping
        (recipe, repeat, fold) → {rule: value}.
    table : pandas.DataFrame
        ``row``, and a text column for each way of dividing the set.
    resamples, permutations, seed : int
        Of the bootstrap over groups, which all subgroups share, and of the deals of groups to subgroups.

    Returns
    -------
    dict
        ``columns``: each with ``column`` and ``levels`` (``level, images, anomalies, groups, warning`` and,
        by recipe, ``recipes``: metrics of `SHOWN` with intervals); ``worst``: for each recipe, column and
        metric of `COMPARED` the lowest level among those with enough patients, its ``value``, that of all
        other images, ``rest``, their ``difference`` with an interval widened for the number of subgroups
        (Bonferroni)``, p, p_adjusted, tests, decision`` (``worse`` or ``not told apart``) and ``sentence``;
        ``sentences`` and ``warnings``.
    """
    levels = _levels(predictions, table)
    recipes = list(dict.fromkeys(predictions["recipe"].astype(str)))
    evidence = _weigh(predictions, thresholds, levels, resamples, seed)
    columns = [
        {
            "column": column,
            "levels": [_level(evidence, recipes, each) for each in levels if each.column == column],
        }
        for column in table.columns
        if column != "row"
    ]
    dealt = {
        str(recipe): _dealt(own.reset_index(drop=True), thresholds, levels, permutations, seed)
        for recipe, own in predictions.groupby(predictions["recipe"].astype(str), sort=False)
    }
    worst = [found for recipe in recipes for found in _worst(evidence, recipe, levels, dealt[recipe])]
    return {
        "columns": columns,
        "worst": worst,
        "sentences": _sentences(worst, levels),
        "warnings": [each.warning for each in levels if each.warning],
        "fewest_groups": FEWEST_GROUPS,
    }


def _levels(predictions: pd.DataFrame, table: pd.DataFrame) -> list[Level]:
    """List the subgroups, in the order of their columns and of the table's own order of levels."""
    once = predictions.drop_duplicates("row").set_index("row")[["label", "group"]]
    found = []
    for column in table.columns:
        if column == "row":
            continue
        for level, part in table.groupby(column, sort=False):
            own = once.loc[once.index.isin(part["row"])]
            counts = {
                kind: int(own.loc[own["label"] == code, "group"].nunique())
                for kind, code in (("anomalous", 1), ("normal", 0))
            }
            rows = own.index.to_numpy(np.int64)
            found.append(Level(column, str(level), rows, len(own), int((own["label"] == 1).sum()), counts))
    order = {name: place for place, name in enumerate(table.columns)}
    return sorted(found, key=lambda each: (order[each.column], level_key(each.level)))


def level_key(level: str) -> tuple[bool, float, str]:
    """Order subgroups: numbers and bins by size, then texts, ``unknown`` last."""
    start = level.partition("–")[0].partition(" to ")[0]
    try:
        number = float(start)
    except ValueError:
        number = float("inf")
    return level == "unknown", number, level


def _weigh(
    predictions: pd.DataFrame, thresholds: Thresholds, levels: Sequence[Level], resamples: int, seed: int
) -> Evidence:
    """Weigh every recipe on every subgroup, and on the rest, all on the same resamples."""
    parts, own = [], {}
    for each in levels:
        inside = predictions["row"].isin(each.rows)
        for part, side in ((predictions[inside], "in"), (predictions[~inside], "rest")):
            parts.append(part.assign(recipe=[_key(recipe, each, side) for recipe in part["recipe"]]))
            for (recipe, repeat, fold), rules in thresholds.items():
                own[_key(recipe, each, side), repeat, fold] = {"default": rules["default"]}
    return weigh(pd.concat(parts, ignore_index=True), own, resamples=resamples, seed=seed)


def _key(recipe: str, level: Level, side: str) -> str:
    return f"{recipe} | {level.name} | {side}"


def _level(evidence: Evidence, recipes: Sequence[str], level: Level) -> dict[str, Any]:
    return {
        "level": level.level,
        "images": level.images,
        "anomalies": level.anomalies,
        "groups": level.groups,
        "warning": level.warning,
        "recipes": [
            {
                "recipe": recipe,
                "metrics": {metric: _cell(evidence, recipe, level, metric) for metric in SHOWN},
            }
            for recipe in recipes
        ],
    }


def _cell(evidence: Evidence, recipe: str, level: Level, metric: str) -> dict[str, float | None]:
    name = _key(recipe, level, "in")
    point = float(evidence.point[name].value(metric)[0])
    low, high = interval(metric, point, evidence.draws[name].value(metric), level.behind(metric))
    return {"mean": known(point), "low": known(low), "high": known(high)}


Dealt = dict[str, dict[str, Floats]]
"""Subgroup's name → metric → its differences from the rest when patients are dealt at random."""


def _dealt(
    own: pd.DataFrame, thresholds: Thresholds, levels: Sequence[Level], permutations: int, seed: int
) -> Dealt:
    rows = weigh(own, thresholds, resamples=2).rows[str(own["recipe"].iloc[0])]
    return {
        each.name: permuted_differences(
            rows, own["row"].isin(each.rows).to_numpy(bool), COMPARED, permutations, seed
        )
        for each in levels
        if len(each.rows) < own["row"].nunique()
    }


@dataclass(frozen=True, slots=True)
class _Test:
    """A subgroup against all other images, by one metric."""

    level: Level
    value: float
    rest: float
    error: float
    p: float

    @property
    def difference(self) -> float:
        return self.value - self.rest


def _test(evidence: Evidence, recipe: str, level: Level, metric: str, dealt: Dealt) -> _Test | None:
    inside, rest = (_key(recipe, level, side) for side in ("in", "rest"))
    if level.behind(metric) < FEWEST_GROUPS or rest not in evidence.rows:
        return None
    value, other = (float(evidence.point[name].value(metric)[0]) for name in (inside, rest))
    null = dealt[level.name][metric]
    null = null[np.isfinite(null)]
    if not np.isfinite([value, other]).all() or len(null) < 2:
        return None
    return _Test(level, value, other, float(null.std(ddof=1)), permutation_p(value - other, null))


def _worst(evidence: Evidence, recipe: str, levels: Sequence[Level], dealt: Dealt) -> list[dict[str, Any]]:
    """Give a recipe's worst subgroup of each column and metric."""
    found = []
    for metric in COMPARED:
        tests = [
            test for level in levels if (test := _test(evidence, recipe, level, metric, dealt)) is not None
        ]
        adjusted, count = _adjusted(tests, levels)
        for column in dict.fromkeys(test.level.column for test in tests):
            own = [i for i, test in enumerate(tests) if test.level.column == column]
            if len(own) > 1:
                lowest = min(own, key=lambda i: tests[i].value)
                found.append(_said(recipe, metric, tests[lowest], adjusted[lowest], count))
    return found


def _adjusted(tests: Sequence[_Test], levels: Sequence[Level]) -> tuple[list[float], int]:
    """Give Holm's p of each test; where a column has two levels, one against the other is one test."""
    sizes = {column: sum(each.column == column for each in levels) for column in {e.column for e in levels}}
    marks = [test.level.column if sizes[test.level.column] == 2 else test.level.name for test in tests]
    family = list(dict.fromkeys(marks))
    p = holm([max(test.p for test, m in zip(tests, marks, strict=True) if m == mark) for mark in family])
    return [float(p[family.index(mark)]) for mark in marks], len(family)


def _said(recipe: str, metric: str, test: _Test, p_adjusted: float, tests: int) -> dict[str, Any]:
    reach = float(stats.norm.ppf(1 - (1 - LEVEL) / (2 * tests))) * test.error
    low, high = test.difference - reach, test.difference + reach
    worse = test.difference < 0 and p_adjusted < SIGNIFICANCE
    cell = {"mean": test.difference, "low": low, "high": high}
    sentence = (
        f"{recipe}: the lowest {METRICS[metric].title} by {test.level.column} is that of {test.level.level}, "
        f"{decimal(test.value)} against {decimal(test.rest)} for all other images (difference "
        f"{decimal(test.difference, sign=True)}, {span(cell, sign=True)}, widened for {tests} subgroup(s); "
        f"Holm's p {'< .001' if p_adjusted < 0.001 else decimal(p_adjusted)}): "
        + ("worse." if worse else "not told apart from chance.")
    )
    return {
        "recipe": recipe,
        "column": test.level.column,
        "metric": metric,
        "level": test.level.level,
        "value": test.value,
        "rest": test.rest,
        "difference": test.difference,
        "low": low,
        "high": high,
        "p": test.p,
        "p_adjusted": p_adjusted,
        "tests": tests,
        "decision": "worse" if worse else "not told apart",
        "sentence": sentence,
    }


def _sentences(worst: Sequence[dict[str, Any]], levels: Sequence[Level]) -> list[str]:
    """Say which subgroups are worse; where none is, that."""
    said = [found["sentence"] for found in worst if found["decision"] == "worse"]
    if said or not worst:
        return said
    enough = sum(not each.warning for each in levels)
    return [
        f"Of {enough} subgroups with enough patients none is clearly worse than all other images, by AUROC, "
        "sensitivity or specificity, once it is counted how many were looked at. That does not prove them "
        "alike: the intervals say how far apart they may be."
    ]
