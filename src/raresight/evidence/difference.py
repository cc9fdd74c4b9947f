"""A paired difference of two recipes: its error, p and intervals, from what each group contributes to it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from raresight.evidence.intervals import LEVEL

INNER_LEVEL = 0.90
"""Of the interval that has to lie inside the margin: two one-sided tests at 5 %."""

FEWEST_EFFECTIVE = 2.0
"""A difference is never taken to rest on fewer groups than so many; of two, none is significant."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference, recipe − baseline, with what its variance is made of.

    Attributes
    ----------
    value : float
        Mean over (repeat, fold) of the differences on the same rows.
    parts : tuple of (float, float)
        Variance and degrees of freedom of each part: groups with an anomaly, groups without, repeats.
    peak : float
        Sum of the fourth powers of the groups' contributions, where few of them may decide; else 0.
    third : float
        Sum of the third powers of the groups' contributions.
    cross : float
        Sum over pairs of groups, anomalous and normal, of both contributions times the pair's own.
    """

    value: float
    parts: tuple[tuple[float, float], ...]
    peak: float = 0.0
    third: float = 0.0
    cross: float = 0.0

    @property
    def error(self) -> float:
        """Standard error."""
        return float(np.sqrt(sum(variance for variance, _ in self.parts)))

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the sum of variances.

        Source: Satterthwaite, "An approximate distribution of estimates of variance components",
        Biometrics Bulletin 2 (1946), 110–114.
        """
        known = [(variance, freedom) for variance, freedom in self.parts if variance > 0]
        if not known:
            return float("inf")
        return float(sum(v for v, _ in known) ** 2 / sum(v * v / f for v, f in known))

    @property
    def effective(self) -> float:
        """How many groups the difference rests on: as many as of evenly normal ones would give its tails.

        n contributions over the root of their sum of squares, R, have a bounded ratio, R² ≤ n, and for normal
        ones R² / n is Beta(1/2, (n − 1)/2), which is Student's t written otherwise. Where few groups
        contribute, R has the excess kurtosis −2 Σx⁴ / (Σx²)² of a sum with random signs, lighter tails than
        t's; here is the n of the Beta with that kurtosis. At most Satterthwaite's.

        Source: Efron, "Student's t-test under symmetry conditions", JASA 64 (1969), 1278–1302.
        """
        most = self.freedom + 1
        if self.peak == 0 or self.error == 0:
            return most
        return min(most, max(FEWEST_EFFECTIVE, 3 * self.error**4 / self.peak - 2))

    @property
    def p(self) -> float:
        """Two-sided p of no difference; 1 where nothing varies and nothing differs."""
        if not np.isfinite(self.value):
            return float("nan")
        if self.error == 0:
            return float(self.value == 0)
        t, n = abs(self.value) / self.error, self.effective
        if n >= self.freedom + 1:
            return float(2 * stats.t.sf(t, self.freedom))
        ratio = t * t * (self.freedom + 1) / (self.freedom + t * t)
        return float(stats.beta.sf(ratio / n, 0.5, (n - 1) / 2))

    def interval(self, level: float) -> tuple[float, float]:
        """Give the differences that the evidence does not reject.

        Parameters
        ----------
        level : float
            Share of studies whose interval holds the truth.

        Returns
        -------
        low, high : float
            NaN where the difference is.
        """
        if not np.isfinite(self.value):
            return float("nan"), float("nan")
        if self.error == 0:
            return self.value, self.value
        n = self.effective
        if n >= self.freedom + 1:
            t = float(stats.t.ppf((1 + level) / 2, self.freedom))
        else:
            ratio = n * float(stats.beta.ppf(level, 0.5, (n - 1) / 2))
            t = float(np.sqrt(ratio * self.freedom / (self.freedom + 1 - ratio)))
        return self.value - t * self.error, self.value + t * self.error

    @property
    def inner(self) -> tuple[float, float]:
        """The 90 % interval that equivalence is judged by.

        Where a difference comes out small by chance its error comes out small too, if the contributions are
        skewed, and `equivalent` is said too often. The end that is thus too near is moved out, by the term of
        order 1/√n; the other stays, and none goes beyond the 95 % interval.

        Source: Hall, "On the removal of skewness by transformation", J. R. Stat. Soc. B 54 (1992), 221–228;
        of pairs, Helmers, "On the Edgeworth expansion and the bootstrap approximation for a Studentized
        U-statistic", Ann. Statist. 19 (1991), 470–484.
        """
        low, high = self.interval(INNER_LEVEL)
        if not np.isfinite(self.value) or self.error == 0:
            return low, high
        furthest = self.interval(LEVEL)
        square = float(stats.norm.ppf((1 + INNER_LEVEL) / 2)) ** 2
        lean = (self.third * (2 * square + 1) / 6 + self.cross * (square + 1)) / self.error**2
        return max(furthest[0], low + min(lean, 0.0)), min(furthest[1], high + max(lean, 0.0))
