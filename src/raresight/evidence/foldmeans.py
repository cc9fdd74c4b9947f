"""What the mean of F1 over folds can be, given the means of sensitivity and specificity.

The F1 of means is not the mean of F1s. In folds of one prevalence p, with sensitivity s and false alarm
rate f, F1 = 2ps / (ps + p + (1 − p)f): concave in s, convex in f. The mean over folds, with the means of
s and f fixed and neither straying further than a given spread from its mean, is therefore smallest where
every s but one lies at an end of its range and the f follow from one Lagrange multiplier, and largest the
other way round: two small searches that find the bounds exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

STEPS = 60
"""Halvings of a search; after them 24 decades are narrower than a double's precision."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Means over folds: sensitivity, false alarm rate (1 − specificity), and the folds' prevalence."""

    sensitivity: float
    alarms: float
    prevalence: float

    def f1(self, s: float, f: float) -> float:
        """F1 of a fold; 0 where nothing is found."""
        p = self.prevalence
        return 2 * p * s / (p * s + p + (1 - p) * f) if s > 0 and p > 0 else 0.0


def least_f1(rates: Rates, folds: int, spread: float) -> float:
    """Give the smallest mean F1 over folds.

    Parameters
    ----------
    rates : Rates
    folds : int
    spread : float
        How far a fold's sensitivity and false alarm rate may lie from their means.
    """
    p, q = rates.prevalence, 1 - rates.prevalence
    f_range = _around(rates.alarms, spread)

    s = _at_ends(rates.sensitivity, folds, _around(rates.sensitivity, spread))

    def at(price: float) -> list[float]:
        return [_clip((sqrt(2 * p * q * x / price) - p * x - p) / q if q else 0.0, f_range) for x in s]

    return _mean_f1(rates, s, _filled(at, rates.alarms * folds))


def largest_f1(rates: Rates, folds: int, spread: float) -> float:
    """Give the largest mean F1 over folds; parameters as for `least_f1`."""
    p, q = rates.prevalence, 1 - rates.prevalence
    s_range = _around(rates.sensitivity, spread)

    f = _at_ends(rates.alarms, folds, _around(rates.alarms, spread))

    def at(price: float) -> list[float]:
        return [_clip((sqrt(2 * p * (p + q * y) / price) - p - q * y) / p if p else 0.0, s_range) for y in f]

    return _mean_f1(rates, _filled(at, rates.sensitivity * folds), f)


def spread_needed(low: Rates, high: Rates, f1: tuple[float, float], folds: int) -> float | None:
    """Find how far folds must stray from their means for their mean F1 to be the printed one.

    Parameters
    ----------
    low, high : Rates
        The means within rounding that make F1 smallest and largest.
    f1 : tuple of float
        Bounds of the printed F1.
    folds : int

    Returns
    -------
    float or None
        Smallest sufficient spread, 0–1; None if no folds of one prevalence give that F1.
    """

    def reached(spread: float) -> bool:
        return least_f1(low, folds, spread) <= f1[1] and largest_f1(high, folds, spread) >= f1[0]

    if not reached(1.0):
        return None
    below, above = 0.0, 1.0
    if reached(below):
        return 0.0
    for _ in range(20):
        middle = (below + above) / 2
        below, above = (below, middle) if reached(middle) else (middle, above)
    return above


def _around(mean: float, spread: float) -> tuple[float, float]:
    return max(0.0, mean - spread), min(1.0, mean + spread)


def _mean_f1(rates: Rates, s: list[float], f: list[float]) -> float:
    return sum(rates.f1(x, y) for x, y in zip(s, f, strict=True)) / len(s)


def _at_ends(mean: float, folds: int, ends: tuple[float, float]) -> list[float]:
    """Give values of a mean, every one but one at an end of their range; their order does not matter."""
    low, high = ends
    if high - low < 1e-12:
        return [mean] * folds
    above = min(int((mean - low) * folds / (high - low) + 1e-9), folds)
    values = [high] * above + [low] * (folds - above)
    if above < folds:
        values[above] = _clip(mean * folds - high * above - low * (folds - above - 1), ends)
    return values


def _filled(at: Callable[[float], list[float]], total: float) -> list[float]:
    """Find the price at which the values that it asks for add up to a total."""
    low, high = 1e-12, 1e12
    for _ in range(STEPS):
        price = sqrt(low * high)
        low, high = (price, high) if sum(at(price)) > total else (low, price)
    return at(high)


def _clip(value: float, ends: tuple[float, float]) -> float:
    return min(max(value, ends[0]), ends[1])
