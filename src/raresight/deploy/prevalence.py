"""How many of the new images are anomalous, without a label: from the mixture of their scores.

If anomalies look as they did in training and normal images too, the scores are a mixture of two known
distributions, and only the share is unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from raresight.deploy.scores import ClassScores, Floats

ROUNDS = 20
"""In which the share and the weighting that suits it are found, at most."""

GRID = np.linspace(0, 1, 1001)
"""Shares that are tried for the interval."""

UNSEEN = 0.5
"""Images that may yet look like the other class, beside those of a reference that do: where none does, its
spread alone would say that none ever will."""

LEAST = 0.05
"""The weighting is for no share nearer to 0 or 1: there it would rest on a few images."""


@dataclass(frozen=True, slots=True)
class Prevalence:
    """A share of anomalies.

    Attributes
    ----------
    estimate : float
    low, high : float
        Its interval.
    """

    estimate: float
    low: float
    high: float


def estimate_prevalence(
    scores: Floats, normal: ClassScores, anomalous: ClassScores, z: float = 1.959964
) -> Prevalence:
    """Estimate the share of anomalies among scores without labels.

    Parameters
    ----------
    scores : (m,) float64 array
    normal, anomalous : ClassScores
    z : float
        Quantile of the normal distribution for the interval; 1.96 for 95 %.

    Returns
    -------
    Prevalence
        The interval holds all shares that a score test does not refute; the test counts what is unknown of
        the two references too. Where the classes score alike, it is 0 to 1.

    Notes
    -----
    The share at which the mean weight of the scores is what the two references' means make of it. The
    weight, (r − 1) / (1 − π + π r) for the odds r of an anomaly that a logistic curve gives, is the slope of
    the log-likelihood, so that the share is about the most likely one, as by EM (Saerens, Latinne &
    Decaestecker, "Adjusting the outputs of a classifier to new a priori probabilities", Neural Computation
    14, 2002). But it stays right where that curve is not: then it is only less sharp.
    """
    odds = _fit_odds(normal, anomalous)
    found, own0, own1 = odds(scores), odds(normal.quantiles), odds(anomalous.quantiles)
    every0, every1 = _weights(normal), _weights(anomalous)
    share = 0.5
    for _ in range(ROUNDS):
        at = min(max(share, LEAST), 1 - LEAST)
        mean = float(_slope(found, at).mean())
        mean0, mean1 = float(every0 @ _slope(own0, at)), float(every1 @ _slope(own1, at))
        new = min(max((mean - mean0) / max(mean1 - mean0, 1e-9), 0.0), 1.0)
        if abs(new - share) < 1e-4:
            break
        share = new
    square0, square1 = float(every0 @ _slope(own0, at) ** 2), float(every1 @ _slope(own1, at) ** 2)
    expected = (1 - GRID) * mean0 + GRID * mean1
    spread = (1 - GRID) * square0 + GRID * square1 - expected**2
    spread *= (1 - GRID) * normal.crowding + GRID * anomalous.crowding
    apart = UNSEEN * (mean1 - mean0) ** 2
    of_reference = (1 - GRID) ** 2 * (square0 - mean0**2 + apart / normal.n) / normal.n
    of_reference += GRID**2 * (square1 - mean1**2 + apart / anomalous.n) / anomalous.n
    error = np.sqrt(np.maximum(spread / len(scores) + of_reference, 1e-300))
    kept = GRID[np.abs(mean - expected) <= z * error]
    low, high = (kept.min(), kept.max()) if len(kept) else (share, share)
    return Prevalence(share, min(float(low), share), max(float(high), share))


def _slope(odds: Floats, share: float) -> Floats:
    return np.asarray((odds - 1) / (1 - share + share * odds), np.float64)


def _weights(known: ClassScores) -> Floats:
    """Give each quantile's weight in a mean: the ends count half, or as one score where there are few."""
    weights = np.ones(len(known.quantiles))
    weights[[0, -1]] = (1 + min(1.0, (len(weights) - 1) / known.n)) / 2
    return np.asarray(weights / weights.sum())


def _fit_odds(normal: ClassScores, anomalous: ClassScores) -> Callable[[Floats], Floats]:
    """Fit by which factor a score makes an anomaly more likely: a logistic curve of the score's rank."""
    grid = np.unique(np.concatenate([normal.quantiles, anomalous.quantiles]))
    rank = (normal.up_to(grid) + anomalous.up_to(grid)) / 2
    ends = 0.5 / max(normal.n, anomalous.n)

    def spread(scores: Floats) -> Floats:
        share = np.clip(np.interp(scores, grid, rank), ends, 1 - ends)
        return np.asarray(np.log(share / (1 - share)))

    x = np.concatenate([spread(normal.quantiles), spread(anomalous.quantiles)])
    y = np.repeat([0.0, 1.0], [len(normal.quantiles), len(anomalous.quantiles)])
    columns = np.stack([np.ones_like(x), x], axis=1)
    line = np.zeros(2)
    for _ in range(ROUNDS):  # Newton's method, the slope held back a little where the classes never meet
        p = 1 / (1 + np.exp(-columns @ line))
        slope = columns.T @ (y - p) - np.array([0.0, 0.1]) * line
        curve = (columns * (p * (1 - p))[:, None]).T @ columns + np.diag([1e-9, 0.1])
        step = np.linalg.solve(curve, slope)
        line = np.clip(line + step, -20, 20)
    return lambda scores: np.exp(np.clip(line[0] + line[1] * spread(scores), -20, 20))
