"""Which confusion matrices could have given some printed figures: exact, in whole numbers.

Accuracy, sensitivity, F1 and their kin are ratios of sums of the four cells, so "this ratio lies between
these bounds" is linear in the cells. All matrices that fit a row of figures, of whatever size, fill a
cone in four dimensions; it is known by its edges, and the extremes of any other ratio lie on them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import combinations
from math import ceil, floor, gcd, lcm

Cells = tuple[int, int, int, int]
"""Something for each of true positives, false negatives, false positives, true negatives."""

RATIOS: dict[str, tuple[Cells, Cells]] = {
    "accuracy": ((1, 0, 0, 1), (1, 1, 1, 1)),
    "sensitivity": ((1, 0, 0, 0), (1, 1, 0, 0)),
    "specificity": ((0, 0, 0, 1), (0, 0, 1, 1)),
    "f1": ((2, 0, 0, 0), (2, 1, 1, 0)),
    "precision": ((1, 0, 0, 0), (1, 0, 1, 0)),
    "npv": ((0, 0, 0, 1), (0, 1, 0, 1)),
    "prevalence": ((1, 1, 0, 0), (1, 1, 1, 1)),
}
"""Metric → weights of the cells in its numerator and its denominator."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Numbers from ``low`` to ``high``, both included; empty when ``low`` is the larger."""

    low: Fraction
    high: Fraction

    @property
    def empty(self) -> bool:
        return self.low > self.high

    @property
    def middle(self) -> Fraction:
        return (self.low + self.high) / 2

    def meet(self, other: Interval) -> Interval:
        """Give what both hold."""
        return Interval(max(self.low, other.low), min(self.high, other.high))

    def __contains__(self, value: Fraction | int) -> bool:
        return self.low <= value <= self.high


EVERYTHING = Interval(Fraction(0), Fraction(1))
Figures = Mapping[str, Interval]
"""Metric → the interval that its printed value stands for."""


@dataclass(frozen=True)
class Cone:
    """All confusion matrices, of any size, that give some figures.

    Attributes
    ----------
    figures : mapping
        Metric (a key of `RATIOS`) → `Interval`.
    """

    figures: Figures

    @cached_property
    def edges(self) -> list[Cells]:
        """The cone's edges: every matrix that fits is a sum of multiples of them."""
        walls = [*_UNITS, *half_spaces(self.figures)]
        found = {edge for triple in combinations(walls, 3) for edge in _on_all(triple)}
        return sorted(edge for edge in found if all(_dot(wall, edge) >= 0 for wall in walls))

    @property
    def possible(self) -> bool:
        """Whether one confusion matrix of some prevalence gives every figure.

        A figure that no such matrix defines (sensitivity without positives) may have been printed as
        0 or 1, by convention, and as nothing else.
        """
        return bool(self.edges) and all(
            any(_dot(RATIOS[name][1], edge) for edge in self.edges) or by_convention(interval)
            for name, interval in self.figures.items()
        )

    def range(self, metric: str) -> Interval | None:
        """Give the least and the largest value of a metric; None where no matrix defines it."""
        above, below = RATIOS[metric]
        values = [Fraction(_dot(above, edge), weight) for edge in self.edges if (weight := _dot(below, edge))]
        return Interval(min(values), max(values)) if values else None


_UNITS: tuple[Cells, ...] = ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))


def by_convention(interval: Interval) -> bool:
    """Whether a figure may stand for an undefined one, which programs print as 0 or 1."""
    return 0 in interval or 1 in interval


def half_spaces(figures: Figures) -> list[Cells]:
    """Write figures as weights w of the cells: a matrix fits where w · cells ≥ 0 for every w."""
    found = []
    for name, interval in figures.items():
        above, below = RATIOS[name]
        if interval.low > 0:
            found.append(_whole([a - interval.low * b for a, b in zip(above, below, strict=True)]))
        if interval.high < 1:
            found.append(_whole([interval.high * b - a for a, b in zip(above, below, strict=True)]))
    return found


def whole_counts(
    figures: Figures, n: int, positives: int | None = None, balanced: Interval | None = None
) -> Cells | None:
    """Find a confusion matrix of whole counts that gives every figure.

    Parameters
    ----------
    figures : mapping
        Metric → `Interval`.
    n : int
        Images in all.
    positives : int, optional
        Anomalous images; by default any number that the figures allow.
    balanced : Interval, optional
        What the mean of sensitivity and specificity must lie in.

    Returns
    -------
    tuple of int or None
        True positives, false negatives, false positives, true negatives; None if there is no such matrix.
    """
    if positives is None:
        prevalence = Cone(figures).range("prevalence")
        if prevalence is None:
            return None
        tried = range(ceil(prevalence.low * n), floor(prevalence.high * n) + 1)
    else:
        tried = range(positives, positives + 1)
    walls = half_spaces(figures)
    for count in tried:
        own = walls if balanced is None else [*walls, *_balanced_walls(balanced, count, n - count)]
        found = _with_positives(figures, own, count, n - count)
        if found is not None:
            return found
    return None


def _with_positives(figures: Figures, walls: Sequence[Cells], positives: int, negatives: int) -> Cells | None:
    lines = [(w[0] - w[1], w[3] - w[2], w[1] * positives + w[2] * negatives) for w in walls] + [
        (1, 0, 0),
        (-1, 0, positives),
        (0, 1, 0),
        (0, -1, negatives),
    ]
    for tp in _true_positives(lines):
        low, high = _true_negatives(lines, tp, negatives)
        # A ratio is undefined at one end of the range at most, so its neighbour decides.
        for tn in sorted({low, min(low + 1, high), high}) if low <= high else ():
            cells = (tp, positives - tp, negatives - tn, tn)
            if all(_dot(RATIOS[name][1], cells) or by_convention(i) for name, i in figures.items()):
                return cells
    return None


Line = tuple[int, int, int]
"""a, b, c of a·tp + b·tn + c ≥ 0: what a wall is once the class sizes are known."""


def _true_positives(lines: Sequence[Line]) -> range:
    """Give the true positives within the polygon that the lines bound, from its corners."""
    corners = []
    for (a, b, c), (d, e, f) in combinations(lines, 2):
        weight = a * e - d * b
        if weight:
            tp, tn = b * f - e * c, c * d - f * a
            if weight < 0:
                tp, tn, weight = -tp, -tn, -weight
            if all(x * tp + y * tn + z * weight >= 0 for x, y, z in lines):
                corners.append(Fraction(tp, weight))
    return range(ceil(min(corners)), floor(max(corners)) + 1) if corners else range(0)


def _true_negatives(lines: Sequence[Line], tp: int, negatives: int) -> tuple[int, int]:
    """Bound the true negatives, the true positives being known; the bounds cross where none will do."""
    low, high = 0, negatives
    for a, slope, c in lines:
        rest = a * tp + c
        if slope > 0:
            low = max(low, -(rest // slope))
        elif slope < 0:
            high = min(high, rest // -slope)
        elif rest < 0:
            return 1, 0
    return low, high


def _balanced_walls(balanced: Interval, positives: int, negatives: int) -> list[Cells]:
    """Bound the mean of sensitivity and specificity: linear too, once the class sizes are known."""
    if not positives or not negatives:
        return []

    def wall(bound: Fraction, sign: int) -> Cells:
        hit, miss = sign * negatives * (1 - 2 * bound), sign * -2 * bound * negatives
        return _whole([hit, miss, Fraction(0), Fraction(sign * positives)])

    return [wall(balanced.low, 1), wall(balanced.high, -1)]


def _on_all(walls: Sequence[Cells]) -> Iterable[Cells]:
    """Give both directions of the line in which three walls meet, as the smallest whole numbers."""
    minors = [
        _determinant([[wall[j] for j in range(4) if j != i] for wall in walls]) * (-1) ** i for i in range(4)
    ]
    if not any(minors):
        return ()
    shared = gcd(*minors)
    a, b, c, d = (minor // shared for minor in minors)
    return (a, b, c, d), (-a, -b, -c, -d)


def _determinant(m: Sequence[Sequence[int]]) -> int:
    (a, b, c), (d, e, f), (g, h, i) = m
    return a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g)


def _whole(weights: Sequence[Fraction]) -> Cells:
    scale = lcm(*(weight.denominator for weight in weights))
    a, b, c, d = (int(weight * scale) for weight in weights)
    return a, b, c, d


def _dot(weights: Cells, cells: Cells) -> int:
    return sum(w * c for w, c in zip(weights, cells, strict=True))
