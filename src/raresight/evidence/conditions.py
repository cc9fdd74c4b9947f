"""The same recipes on the same rows under several conditions: clean, and corrupted in this way and that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raresight.errors import DataError
from raresight.evidence.estimates import Evidence, RecipeRows, Thresholds, known, weigh
from raresight.evidence.intervals import difference_interval, draw_groups
from raresight.evidence.metrics import SPECIFICITY_KEPT, Floats, average

Condition = tuple[str, int]
"""A corruption's name and its severity."""

CLEAN: Condition = ("clean", 0)

KEPT_RULE = f"specificity={SPECIFICITY_KEPT:g}"
"""The learned threshold whose promise is watched."""

RESAMPLES = 1000
"""Fewer than for a run's metrics, as there are many conditions; an interval moves in the third digit."""

_LINES_AT_ONCE = 250


@dataclass(frozen=True)
class Conditions:
    """Every recipe under every condition, on the same resamples of groups, so that differences are paired.

    Attributes
    ----------
    evidence : Evidence
        Its recipes are called by `key`.
    recipes : tuple of str
    conditions : tuple of (str, int)
        Without the clean one.
    counts : (resamples, groups) uint16 array
        How often each group enters each resample.
    """

    evidence: Evidence
    recipes: tuple[str, ...]
    conditions: tuple[Condition, ...]
    counts: NDArray[np.uint16]

    def rows(self, recipe: str, condition: Condition = CLEAN) -> RecipeRows:
        """Give a recipe's predictions under a condition."""
        return self.evidence.rows[key(recipe, condition)]

    def values(
        self, recipe: str, metric: str, condition: Condition = CLEAN, rule: str = "default"
    ) -> tuple[float, Floats]:
        """Give a metric's value on the rows as they are, and on each resample."""
        name = key(recipe, condition)
        point = self.evidence.point[name].value(metric, rule)
        return float(point[0]), self.evidence.draws[name].value(metric, rule)

    def cell(
        self, recipe: str, metric: str, condition: Condition = CLEAN, rule: str = "default"
    ) -> dict[str, float | None]:
        """Give a metric's ``{"mean", "low", "high"}``."""
        return self.evidence.cell(key(recipe, condition), metric, rule)

    def drift(
        self, recipe: str, metric: str, condition: Condition, rule: str = "default"
    ) -> dict[str, float | None]:
        """Give how a metric changed from clean to a condition: ``{"mean", "low", "high"}``, paired."""
        change = self.evidence.difference(key(recipe, condition), key(recipe, CLEAN), metric, rule)
        return {"mean": change["difference"], "low": change["low"], "high": change["high"]}

    def threshold_drift(self, recipe: str, condition: Condition) -> dict[str, float | None]:
        """Give how far the threshold that keeps 95 % specificity moved, in deviations of clean normal scores.

        Returns
        -------
        dict
            ``mean, low, high``: above 0, the old threshold would raise more false alarms. The mean over
            folds.
        """
        once = np.ones((1, self.counts.shape[1]), np.uint16)
        clean, other = self.rows(recipe), self.rows(recipe, condition)
        point = float(threshold_shift(clean, other, once)[0])
        low, high = difference_interval(
            point, threshold_shift(clean, other, self.counts), self.evidence.groups["normal"]
        )
        return {"mean": known(point), "low": known(low), "high": known(high)}


def key(recipe: str, condition: Condition = CLEAN) -> str:
    """Call a recipe under a condition."""
    return f"{recipe} | {condition[0]}-{condition[1]}"


def weigh_conditions(
    clean: pd.DataFrame,
    corrupted: pd.DataFrame,
    thresholds: Thresholds,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Conditions:
    """Compute every metric of every recipe under every condition, on the same resamples of groups.

    Parameters
    ----------
    clean : pandas.DataFrame
        Predictions, see `raresight.evidence.estimates.COLUMNS`.
    corrupted : pandas.DataFrame
        The same columns for the same rows under each condition, and ``corruption``, ``severity``.
    thresholds : mapping
        (recipe, repeat, fold) → {rule: value}; ``default`` and, where it is known, `KEPT_RULE` are looked at.
    resamples, seed : int
        Of the bootstrap over groups.

    Raises
    ------
    DataError
        If a condition does not have a clean row for each of its own, or see `weigh`.
    """
    both = pd.concat([clean.assign(corruption=CLEAN[0], severity=CLEAN[1]), corrupted], ignore_index=True)
    _check_rows(both)
    recipes = tuple(dict.fromkeys(clean["recipe"].astype(str)))
    pairs = corrupted[["corruption", "severity"]].drop_duplicates()
    conditions = tuple((str(name), int(severity)) for name, severity in pairs.itertuples(index=False))
    keys = [
        key(recipe, (name, severity))
        for recipe, name, severity in zip(both["recipe"], both["corruption"], both["severity"], strict=True)
    ]
    rules = ("default", KEPT_RULE)
    own: dict[tuple[str, int, int], dict[str, float]] = {
        (key(recipe, condition), repeat, fold): {rule: found[rule] for rule in rules if rule in found}
        for (recipe, repeat, fold), found in thresholds.items()
        for condition in (CLEAN, *conditions)
    }
    evidence = weigh(both.assign(recipe=keys), own, resamples=resamples, seed=seed)
    holds = np.zeros(evidence.groups["all"], bool)
    for table in evidence.rows.values():
        holds[table.group[table.label]] = True
    return Conditions(evidence, recipes, conditions, draw_groups(holds, resamples, seed))


def _check_rows(both: pd.DataFrame) -> None:
    """Refuse conditions that were seen by other rows than the clean one."""
    marks = {
        cast(tuple[str, str, int], name): frozenset(
            zip(part["repeat"], part["fold"], part["row"], strict=True)
        )
        for name, part in both.groupby(["recipe", "corruption", "severity"], sort=False)
    }
    for (recipe, corruption, severity), rows in marks.items():
        if marks.get((recipe, *CLEAN)) != rows:
            raise DataError(
                f"{corruption} at severity {severity} has other rows of {recipe} than the clean images; "
                "score the same images under every condition"
            )


def threshold_shift(clean: RecipeRows, other: RecipeRows, counts: NDArray[np.uint16]) -> Floats:
    """Give how far the threshold that spares 95 % of normal rows moves from one condition to another.

    Parameters
    ----------
    clean, other : RecipeRows
        The same folds' models; of `other` any rows.
    counts : (B, groups) integer array
        How often each group enters.

    Returns
    -------
    (B,) float array
        In standard deviations of a fold's clean normal scores, averaged over folds; NaN where these don't
        vary.
    """
    shifts = []
    for unit in np.unique(clean.unit):
        low = [np.flatnonzero((rows.unit == unit) & ~rows.label) for rows in (clean, other)]
        spread = float(clean.score[low[0]].std()) if len(low[0]) else 0.0
        if spread == 0 or not len(low[1]):
            continue
        pairs = zip((clean, other), low, strict=True)
        old, new = (_quantile(rows.score[i], counts, rows.group[i]) for rows, i in pairs)
        shifts.append((new - old) / spread)
    return average(shifts) if shifts else np.full(len(counts), np.nan)


def spread_kept(clean: RecipeRows, other: RecipeRows) -> float:
    """Give the deviation of scores under a condition as a share of the clean one, averaged over folds.

    Near 0 the recipe gives all images the same score: they are so far from what it learned from that it can
    no longer tell them apart. NaN where the clean scores don't vary.
    """
    shares = []
    for unit in np.unique(clean.unit):
        whole, left = (float(rows.score[rows.unit == unit].std()) for rows in (clean, other))
        shares.append(left / whole if whole > 0 else np.nan)
    return float(np.mean(shares))


def _quantile(score: Floats, counts: NDArray[np.uint16], group: NDArray[np.int64]) -> Floats:
    """Give the least score at or below which 95 % of the weight lies, under each weighting."""
    order = np.argsort(score, kind="stable")
    found = np.full(len(counts), np.nan)
    for start in range(0, len(counts), _LINES_AT_ONCE):
        weight = counts[start : start + _LINES_AT_ONCE, group[order]].astype(np.float64)
        below = np.cumsum(weight, axis=1)
        whole = below[:, -1:]
        place = (below >= SPECIFICITY_KEPT * whole - 1e-9).argmax(axis=1)
        found[start : start + len(weight)] = np.where(whole[:, 0] > 0, score[order][place], np.nan)
    return found


def mean_values(parts: Sequence[tuple[float, Floats]]) -> tuple[float, Floats]:
    """Average values and their draws."""
    return float(np.mean([point for point, _ in parts])), np.mean([draws for _, draws in parts], axis=0)


def span_of(point: float, draws: Floats, groups: int) -> dict[str, Any]:
    """Give ``{"mean", "low", "high"}`` of a value without bounds."""
    low, high = difference_interval(point, draws, groups)
    return {"mean": known(point), "low": known(low), "high": known(high)}
