"""From a predictions table to every metric's value, on the rows as they are and on each resample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raresight.errors import DataError
from raresight.evidence.intervals import RESAMPLES, difference_interval, draw_groups, interval
from raresight.evidence.metrics import (
    METRICS,
    Bools,
    Floats,
    average,
    decision_metrics,
    flag,
    probability_metrics,
    ranking_metrics,
)

Thresholds = Mapping[tuple[str, int, int], Mapping[str, float]]
"""(recipe, repeat, fold) → {rule: threshold on the scale of score}."""

COLUMNS = ("recipe", "repeat", "fold", "row", "file", "group", "label", "score", "probability")
_BEHIND = {
    "sensitivity": "anomalous",
    "specificity": "normal",
    **dict.fromkeys(("accuracy", "brier", "log_loss"), "all"),
}
"""The groups that a metric rests on, where it isn't the rarer kind."""

_CELLS_AT_ONCE = 500_000
"""Weights held at a time: 4 MB, so that the sums run in the processor's cache."""


@dataclass(frozen=True, slots=True)
class RecipeRows:
    """One recipe's predictions as arrays of length n.

    Attributes
    ----------
    label : bool array
        True = anomalous.
    score, probability : float arrays
    group : int array
        Column of the draws that the row belongs to.
    repeat, unit : int arrays
        Number of the repeat, and of the (repeat, fold) that the row was tested in.
    flagged : dict of str to bool array
        Rule → decision, each fold cut at its own threshold.
    raw : float array or None
        The detector's own probability, where it is known.
    """

    label: Bools
    score: Floats
    probability: Floats
    group: NDArray[np.int64]
    repeat: NDArray[np.int64]
    unit: NDArray[np.int64]
    flagged: dict[str, Bools]
    raw: Floats | None = None


@dataclass(frozen=True, slots=True)
class Estimates:
    """Values of every metric under B weightings: (B,) float arrays.

    Attributes
    ----------
    free : dict of str to array
        Metrics that need no threshold.
    at : dict of str to dict of str to array
        Rule → metrics of its decisions.
    """

    free: dict[str, Floats]
    at: dict[str, dict[str, Floats]]

    def value(self, metric: str, rule: str = "default") -> Floats:
        """Look a metric up, at a rule's threshold where it has one."""
        return self.free[metric] if metric in self.free else self.at[rule][metric]


@dataclass(frozen=True, slots=True)
class Evidence:
    """Every recipe's metrics on the rows as they are and on the same resamples of groups.

    Attributes
    ----------
    rows, point, draws : dict, by recipe
        Predictions; values on the rows as they are, (1,); values on each resample, (resamples,).
        All recipes see the same draws, so differences of draws are paired.
    groups : dict of str to int
        ``all``, ``anomalous`` and ``normal``: groups with at least one such row.
    resamples, seed : int
    """

    rows: dict[str, RecipeRows]
    point: dict[str, Estimates]
    draws: dict[str, Estimates]
    groups: dict[str, int]
    resamples: int
    seed: int

    def behind(self, metric: str) -> int:
        """Count the groups that a metric rests on."""
        kind = _BEHIND.get(metric)
        return self.groups[kind] if kind else min(self.groups["anomalous"], self.groups["normal"])

    def same_rows(self, one: str, other: str) -> bool:
        """Tell whether two recipes were tested on the same rows of the same folds, so that they pair.

        A run that was cut short may have tested one of them on fewer folds.
        """
        a, b = self.rows[one], self.rows[other]
        return len(a.group) == len(b.group) and bool((a.group == b.group).all() and (a.unit == b.unit).all())

    def cell(self, recipe: str, metric: str, rule: str = "default") -> dict[str, float | None]:
        """Give a metric's ``{"mean", "low", "high"}``, None where it is not defined."""
        point = float(self.point[recipe].value(metric, rule)[0])
        low, high = interval(metric, point, self.draws[recipe].value(metric, rule), self.behind(metric))
        return {"mean": known(point), "low": known(low), "high": known(high)}

    def difference(
        self, recipe: str, against: str, metric: str, rule: str = "default"
    ) -> dict[str, float | None]:
        """Compare two recipes on the same rows: ``{"from", "to", "difference", "low", "high"}``."""
        old, new = (self.point[r].value(metric, rule) for r in (against, recipe))
        draws = self.draws[recipe].value(metric, rule) - self.draws[against].value(metric, rule)
        difference = float((new - old)[0])
        low, high = difference_interval(difference, draws, self.behind(metric))
        found = {
            "from": float(old[0]),
            "to": float(new[0]),
            "difference": difference,
            "low": low,
            "high": high,
        }
        return {name: known(value) for name, value in found.items()}


def known(value: float) -> float | None:
    """Give None for what is not a finite number; JSON has no NaN."""
    return float(value) if np.isfinite(value) else None


def weigh(
    predictions: pd.DataFrame, thresholds: Thresholds, *, resamples: int = RESAMPLES, seed: int = 0
) -> Evidence:
    """Compute every metric of every recipe, with its draws.

    Parameters
    ----------
    predictions : pandas.DataFrame
        The columns of `COLUMNS`, and ``probability_raw`` where it is known; one row per image, recipe and
        repeat.
    thresholds : mapping
        (recipe, repeat, fold) → {rule: value}; ``default`` must be there.
    resamples, seed : int
        Of the bootstrap over groups.

    Raises
    ------
    DataError
        If there is no prediction, a column or a default threshold is missing, or a score is not finite.
    """
    _check(predictions, thresholds)
    codes, names = pd.factorize(predictions["group"], sort=True)
    rows = {
        str(recipe): _rows(str(recipe), predictions.loc[part], codes[part], thresholds)
        for recipe, part in predictions.groupby("recipe", sort=False).indices.items()
    }
    return weigh_rows(rows, len(names), resamples=resamples, seed=seed)


def weigh_rows(
    rows: dict[str, RecipeRows], groups: int, *, resamples: int = RESAMPLES, seed: int = 0
) -> Evidence:
    """Compute every metric of every recipe, with its draws, from predictions that were checked before.

    Parameters
    ----------
    rows : dict of str to RecipeRows
        By recipe.
    groups : int
        Their `RecipeRows.group` number them from 0.
    resamples, seed : int
        Of the bootstrap over groups.
    """
    holds = {kind: np.zeros(groups, bool) for kind in "an"}
    for table in rows.values():
        holds["a"][table.group[table.label]] = True
        holds["n"][table.group[~table.label]] = True
    counts = draw_groups(holds["a"], resamples, seed)
    once = np.ones((1, groups), np.uint16)
    return Evidence(
        rows,
        {recipe: estimate(table, once) for recipe, table in rows.items()},
        {recipe: estimate(table, counts, slope_steps=1) for recipe, table in rows.items()},
        {"all": groups, "anomalous": int(holds["a"].sum()), "normal": int(holds["n"].sum())},
        resamples,
        seed,
    )


def _check(predictions: pd.DataFrame, thresholds: Thresholds) -> None:
    missing = [column for column in COLUMNS if column not in predictions]
    if missing:
        raise DataError(f"the predictions have no column {missing[0]!r}; they need: {', '.join(COLUMNS)}")
    if not len(predictions):
        raise DataError("there is no prediction to judge; run the comparison first")
    bad = ~np.isfinite(predictions["score"].to_numpy(np.float64))
    if bad.any():
        first = predictions.loc[bad].iloc[0]
        raise DataError(f"{first['recipe']} gave no finite score for {first['file']}; leave that recipe out")
    for key in predictions[["recipe", "repeat", "fold"]].drop_duplicates().itertuples(index=False):
        if "default" not in thresholds.get((str(key[0]), int(key[1]), int(key[2])), {}):
            raise DataError(
                f"no default threshold for {key[0]}, repeat {key[1]}, fold {key[2]}; run it again"
            )


def _rows(recipe: str, part: pd.DataFrame, codes: NDArray[np.int64], thresholds: Thresholds) -> RecipeRows:
    score = part["score"].to_numpy(np.float64)
    repeat, fold = part["repeat"].to_numpy(np.int64), part["fold"].to_numpy(np.int64)
    pairs, unit = np.unique(np.column_stack([repeat, fold]), axis=0, return_inverse=True)
    own = [thresholds[recipe, int(r), int(f)] for r, f in pairs]
    # A rule that one fold has not learned cannot be judged over all folds.
    rules = [rule for rule in own[0] if all(rule in found for found in own)]
    return RecipeRows(
        label=part["label"].to_numpy(np.int64) == 1,
        score=score,
        probability=part["probability"].to_numpy(np.float64),
        group=np.asarray(codes, np.int64),
        repeat=repeat,
        unit=unit.reshape(-1),
        flagged={
            rule: flag(score, np.array([found[rule] for found in own])[unit.reshape(-1)]) for rule in rules
        },
        raw=_own_probability(part),
    )


def _own_probability(part: pd.DataFrame) -> Floats | None:
    if "probability_raw" not in part or part["probability_raw"].isna().any():
        return None
    return part["probability_raw"].to_numpy(np.float64)


def estimate(rows: RecipeRows, counts: NDArray[np.uint16], *, slope_steps: int = 50) -> Estimates:
    """Compute every metric under each weighting of the groups.

    A decision's metrics come from one confusion matrix a repeat, all folds together, each cut at its own
    threshold; then the mean over repeats. Metrics of the ranking are computed within each fold and
    averaged over folds, because scores of differently trained models are not on one scale; a fold
    without both classes is left out. Metrics of the probabilities pool the folds of a repeat.

    Parameters
    ----------
    rows : RecipeRows
    counts : (B, groups) integer array
        How often each group enters.
    slope_steps : int
        See `probability_metrics`.
    """
    parts = [_estimate(rows, part, slope_steps) for part in _chunks(counts, len(rows.label))]
    return Estimates(
        {name: np.concatenate([p.free[name] for p in parts]) for name in parts[0].free},
        {
            rule: {name: np.concatenate([p.at[rule][name] for p in parts]) for name in found}
            for rule, found in parts[0].at.items()
        },
    )


def _chunks(counts: NDArray[np.uint16], rows: int) -> Iterator[NDArray[np.uint16]]:
    size = max(1, _CELLS_AT_ONCE // rows)
    return (counts[start : start + size] for start in range(0, len(counts), size))


def _estimate(rows: RecipeRows, counts: NDArray[np.uint16], slope_steps: int) -> Estimates:
    weights = counts[:, rows.group].astype(np.float64)
    repeats = [np.flatnonzero(rows.repeat == r) for r in np.unique(rows.repeat)]
    units = [np.flatnonzero(rows.unit == u) for u in np.unique(rows.unit)]
    ranking = [ranking_metrics(rows.label[i], rows.score[i], weights[:, i]) for i in units]
    chances = [
        probability_metrics(rows.label[i], rows.probability[i], weights[:, i], steps=slope_steps)
        for i in repeats
    ]
    decisions = {
        rule: _mean([decision_metrics(rows.label[i], flagged[i], weights[:, i]) for i in repeats])
        for rule, flagged in rows.flagged.items()
    }
    free = {**_mean(ranking), **_mean(chances)}
    return Estimates({name: free[name] for name in METRICS if name in free}, decisions)


def _mean(found: list[dict[str, Floats]]) -> dict[str, Floats]:
    return {name: average(part[name] for part in found) for name in found[0]}


def folds_left_out(rows: RecipeRows) -> int:
    """Count the (repeat, fold) whose test rows lack a class, so that they have no ranking metric."""
    return sum(len(np.unique(rows.label[rows.unit == unit])) < 2 for unit in np.unique(rows.unit))
