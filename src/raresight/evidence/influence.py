"""How much each group of rows sways a difference between two recipes: the jackknife over groups.

All rows of a group, in all repeats, are left out together, so that a patient with many images or many
repeats is never counted twice.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from raresight.evidence.difference import Difference
from raresight.evidence.estimates import Evidence, RecipeRows
from raresight.evidence.metrics import Floats, average, divide, names_of, ranking_metrics

JUDGED = ("auroc", "auprc", "sensitivity_at_95_specificity", "brier")
"""What verdicts are about: ranking, sensitivity at matched specificity, calibration."""

STEPS = frozenset({"sensitivity_at_95_specificity"})
"""Metrics that jump when a row is left out: the jackknife of a quantile is not consistent (Miller 1974), and
their variance comes from the bootstrap over groups."""

BLOCKS = 500
"""Groups of a class are left out one by one up to so many, beyond that in so many blocks."""

ENOUGH_GROUPS = 20
"""With fewer groups in a class the interaction is too poorly known to take it off."""

LEAST_SHARE = 0.25
"""Of the jackknife's variance, what is left at least when the interaction is taken off."""

MANY_PAIRS = 40_000_000
"""Beyond so many pairs of images or groups the interaction is too small to matter, and is taken for 0."""

_CELLS_AT_ONCE = 500_000


class Jackknife:
    """Every recipe's metrics with groups left out in turn, computed once for all pairs.

    Parameters
    ----------
    evidence : Evidence
    seed : int
        Of the blocks, where there are more than `BLOCKS` groups of a class.
    """

    def __init__(self, evidence: Evidence, seed: int = 0) -> None:
        self.evidence = evidence
        holds = np.zeros(evidence.groups["all"], bool)
        for rows in evidence.rows.values():
            holds[rows.group[rows.label]] = True
        self.counts, self.kind = _left_out(holds, seed)
        self._left: dict[str, dict[str, Floats]] = {}
        self._whole: dict[str, dict[str, Floats]] = {}

    def difference(self, recipe: str, against: str, metric: str) -> Difference:
        """Compare two recipes on the same rows.

        Returns
        -------
        Difference
            NaN where the metric is not defined for both.
        """
        value = self._repeats(recipe)[metric] - self._repeats(against)[metric]
        if metric in STEPS:
            parts, moments = self._drawn(recipe, against, metric), (0.0, 0.0, 0.0)
        else:
            parts, moments = self._jackknifed(recipe, against, metric)
        if len(value) > 1:
            parts.append((float(value.var(ddof=1)) / len(value), float(len(value) - 1)))
        return Difference(float(value.mean()), tuple(parts), *moments)

    def folds(self, recipe: str, metric: str) -> Floats:
        """Give a metric's value in each (repeat, fold), NaN where a fold lacks a class.

        Returns
        -------
        (J,) float array
        """
        rows = self.evidence.rows[recipe]
        once = np.ones((1, self.counts.shape[1]), np.uint16)
        parts = (_part(rows, rows.unit == unit) for unit in np.unique(rows.unit))
        return np.concatenate([_judged(part, once)[metric] for part in parts])

    def _jackknifed(
        self, recipe: str, against: str, metric: str
    ) -> tuple[list[tuple[float, float]], tuple[float, float, float]]:
        """Variance and degrees of freedom of anomalous and of normal groups; `peak`, `third` and `cross`."""
        left = self._lefts(recipe)[metric] - self._lefts(against)[metric]
        parts, swayed = [], np.zeros(len(left))
        for kind in (True, False):
            own = self.kind == kind
            if own.sum() > 1:
                swayed[own] = (left[own].mean() - left[own]) * self._weight(recipe, metric, own)
                parts.append((float((swayed[own] ** 2).sum()), float(own.sum() - 1)))
        whole = sum(variance for variance, _ in parts)
        third = float((swayed**3).sum())
        few = min(int((self.kind == kind).sum()) for kind in (True, False))
        if metric != "auroc" or whole == 0 or few < ENOUGH_GROUPS:
            return parts, (0.0, third, 0.0)
        rows, columns, table = _together(self.evidence.rows[recipe], self.evidence.rows[against])
        share = max(1 - float((table**2).sum()) / whole, LEAST_SHARE)
        # A block's sway is shared out among its groups.
        out = self.counts == 0
        by_group = (swayed / out.sum(axis=1)) @ out
        cross = float(by_group[rows] @ table @ by_group[columns])
        shared = [(share * variance, freedom) for variance, freedom in parts]
        return shared, (float((swayed**4).sum()), third, cross)

    def _weight(self, recipe: str, metric: str, own: NDArray[np.bool_]) -> float:
        """How much a group sways a metric, for what leaving it out does to the metric."""
        count, groups = int(own.sum()), self.counts.shape[1]
        if metric in names_of("ranking"):
            # A ranking is a mean over folds: a group weighs as one of its class and its own fold.
            beside = max(count / self._folds(recipe), 2.0)
            return float(np.sqrt((beside - 1) / beside))
        # A mean over all rows: where a group is left out, those of both classes have a larger share.
        rest = 1 - float((self.counts[own] == 0).sum(axis=1).mean()) / groups
        return float(np.sqrt(count / (count - 1)) * rest)

    def _drawn(self, recipe: str, against: str, metric: str) -> list[tuple[float, float]]:
        """Variance from the bootstrap over groups."""
        groups = self.evidence.behind(metric)
        draws = self.evidence.draws[recipe].value(metric) - self.evidence.draws[against].value(metric)
        draws = draws[np.isfinite(draws)]
        if len(draws) < 2 or groups < 2:
            return []
        return [(float(draws.var(ddof=1)) * groups / (groups - 1), float(groups - 1))]

    def _folds(self, recipe: str) -> float:
        rows = self.evidence.rows[recipe]
        return len(np.unique(rows.unit)) / len(np.unique(rows.repeat))

    def _repeats(self, recipe: str) -> dict[str, Floats]:
        """Each metric's value in each repeat."""
        if recipe not in self._whole:
            rows = self.evidence.rows[recipe]
            once = np.ones((1, self.counts.shape[1]), np.uint16)
            found = [_judged(_part(rows, rows.repeat == repeat), once) for repeat in np.unique(rows.repeat)]
            self._whole[recipe] = {name: np.concatenate([f[name] for f in found]) for name in JUDGED}
        return self._whole[recipe]

    def _lefts(self, recipe: str) -> dict[str, Floats]:
        """Each metric's value without each group, or block of groups."""
        if recipe not in self._left:
            rows = self.evidence.rows[recipe]
            size = max(1, _CELLS_AT_ONCE // len(rows.label))
            found = [
                _judged(rows, self.counts[start : start + size]) for start in range(0, len(self.counts), size)
            ]
            self._left[recipe] = {name: np.concatenate([f[name] for f in found]) for name in JUDGED}
        return self._left[recipe]


def interaction(recipe: RecipeRows, against: RecipeRows) -> float:
    """Estimate what anomalous and normal groups together, beyond each alone, add to the variance of ΔAUROC.

    An AUROC is a mean over pairs of groups; leaving out anomalous groups and normal groups in turn counts
    what belongs to the pair twice. It is estimated from the pairs' residuals in a two-way table, and taken
    off once.

    Parameters
    ----------
    recipe, against : RecipeRows
        On the same rows.

    Returns
    -------
    float
        A variance; 0 beyond `MANY_PAIRS`.

    Notes
    -----
    Source: the variance of a two-sample U-statistic, Hoeffding, Ann. Math. Stat. 19 (1948), 293–325; unbiased
    from two-way residuals as in Bamber, J. Math. Psychology 12 (1975), 387–415.
    """
    return float((_together(recipe, against)[2] ** 2).sum())


def _together(recipe: RecipeRows, against: RecipeRows) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Give the anomalous groups, the normal ones, and what each pair adds to ΔAUROC beyond the two alone."""
    y = recipe.label
    sides = [np.unique(recipe.group[own], return_inverse=True) for own in (y, ~y)]
    shape = len(sides[0][0]), len(sides[1][0])
    units = np.unique(recipe.unit)
    if shape[0] * shape[1] > MANY_PAIRS or (y.sum() / len(units)) * ((~y).sum() / len(units)) > MANY_PAIRS:
        nobody = np.zeros(0, np.int64)
        return nobody, nobody, np.zeros((0, 0))
    total = np.zeros(shape)
    place = np.empty(len(y), np.int64)
    place[y], place[~y] = sides[0][1], sides[1][1]
    for unit in units:
        high, low = (np.flatnonzero((recipe.unit == unit) & own) for own in (y, ~y))
        if len(high) and len(low):
            rows, columns, value = _residuals(recipe, against, place, high, low)
            total[np.ix_(rows, columns)] += value
    return sides[0][0], sides[1][0], total / len(units)


def _residuals(
    recipe: RecipeRows,
    against: RecipeRows,
    place: NDArray[np.int64],
    high: NDArray[np.int64],
    low: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Give one fold's anomalous groups, normal groups, and their pairs' weighted two-way residuals."""
    rows, i = np.unique(place[high], return_inverse=True)
    columns, j = np.unique(place[low], return_inverse=True)
    m, n = len(rows), len(columns)
    if min(m, n) < 2:
        return rows, columns, np.zeros((m, n))
    gap = _above(recipe.score, high, low) - _above(against.score, high, low)
    sums = np.add.reduceat(
        gap[np.argsort(i, kind="stable")], np.searchsorted(np.sort(i), np.arange(m)), axis=0
    )
    order = np.argsort(j, kind="stable")
    sums = np.add.reduceat(sums[:, order], np.searchsorted(j[order], np.arange(n)), axis=1)
    pairs = np.outer(np.bincount(i), np.bincount(j))
    mean = sums / pairs
    residual = mean - mean.mean(axis=1, keepdims=True) - mean.mean(axis=0) + mean.mean()
    few = np.sqrt(m * n / ((m - 1) * (n - 1)))
    return rows, columns, residual * few * pairs / pairs.sum()


def _above(score: Floats, high: NDArray[np.int64], low: NDArray[np.int64]) -> Floats:
    """Tell for each pair whether the anomalous image scores higher: 1, a half for a tie, 0."""
    one, other = score[high][:, None], score[low][None, :]
    return np.asarray((one > other) + 0.5 * (one == other), np.float64)


def _left_out(holds: NDArray[np.bool_], seed: int) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    """Give weights without each block of groups, (blocks, groups), and whether its groups hold an anomaly."""
    random = np.random.default_rng(seed)
    counts, kinds = [], []
    for kind in (True, False):
        members = np.flatnonzero(holds == kind)
        if len(members) > BLOCKS:
            members = random.permutation(members)
        for block in np.array_split(members, min(len(members), BLOCKS)) if len(members) else []:
            row = np.ones(len(holds), np.uint16)
            row[block] = 0
            counts.append(row)
            kinds.append(kind)
    return np.array(counts, np.uint16), np.array(kinds, bool)


def _judged(rows: RecipeRows, counts: NDArray[np.uint16]) -> dict[str, Floats]:
    """Compute the metrics that verdicts are about, averaged as `estimate` averages them."""
    ranking = [_ranked(rows, counts, np.flatnonzero(rows.unit == unit)) for unit in np.unique(rows.unit)]
    found = {name: average(part[name] for part in ranking) for name in JUDGED[:3]}
    found["brier"] = average(_brier(rows, counts, rows.repeat == repeat) for repeat in np.unique(rows.repeat))
    return found


def _ranked(rows: RecipeRows, counts: NDArray[np.uint16], own: NDArray[np.int64]) -> dict[str, Floats]:
    """Rank one fold under each weighting; those that leave all its groups in share one computation."""
    mine = counts[:, rows.group[own]]
    less = np.flatnonzero((mine != 1).any(axis=1))
    weights = np.concatenate([np.ones((1, len(own))), mine[less]])
    line = np.zeros(len(counts), np.int64)
    line[less] = 1 + np.arange(len(less))
    found = ranking_metrics(rows.label[own], rows.score[own], weights)
    return {name: values[line] for name, values in found.items()}


def _brier(rows: RecipeRows, counts: NDArray[np.uint16], own: NDArray[np.bool_]) -> Floats:
    """Mean squared error of one repeat's probabilities under each weighting."""
    group, gap = rows.group[own], (rows.label[own] - rows.probability[own]) ** 2
    sums = np.column_stack([np.bincount(group, w, counts.shape[1]) for w in (gap, np.ones(len(gap)))])
    top, whole = (counts.astype(np.float64) @ sums).T
    return divide(top, whole)


def _part(rows: RecipeRows, own: NDArray[np.bool_]) -> RecipeRows:
    return RecipeRows(
        rows.label[own],
        rows.score[own],
        rows.probability[own],
        rows.group[own],
        rows.repeat[own],
        rows.unit[own],
        {},
    )
