"""95 % intervals from a bootstrap over groups (patients), never over single images.

Whole groups are drawn with replacement, separately among those that hold an anomaly and those that
hold none, with all their rows, recipes and repeats together. What is drawn gives the standard error;
the interval is symmetric on the logit scale (Fisher's z for metrics from −1 to 1) with Student's t for
the number of groups. At 30 groups a class and an AUROC of .985, the plain percentile interval held the
truth in 86 % of simulated studies, this one in 94 % (``tests/evidence/test_intervals.py`` repeats it).

The intervals speak about other patients of the same kind, not about training again with other images.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from raresight.evidence.metrics import METRICS, Floats

RESAMPLES = 2000
LEVEL = 0.95
_TINY = 1e-12


def draw_groups(
    kinds: NDArray[np.bool_] | NDArray[np.int64], resamples: int = RESAMPLES, seed: int = 0
) -> NDArray[np.uint16]:
    """Draw how often each group enters each resample.

    Parameters
    ----------
    kinds : (groups,) bool or int array
        Whether the group holds an anomaly, or the class that it is drawn with; each kind keeps its number of
        groups.
    resamples : int
    seed : int
        The same seed, the same draws.

    Returns
    -------
    (resamples, groups) uint16 array
    """
    rng = np.random.default_rng(seed)
    counts = np.zeros((resamples, len(kinds)), np.uint16)
    for kind in np.unique(kinds):
        members = np.flatnonzero(kinds == kind)
        if len(members):
            even = np.full(len(members), 1 / len(members))
            counts[:, members] = rng.multinomial(len(members), even, size=resamples)
    return counts


def interval(name: str, point: float, draws: Floats, groups: int) -> tuple[float, float]:
    """Give the 95 % interval of a metric.

    Parameters
    ----------
    name : str
        Of `METRICS`.
    point : float
        Its value on the rows as they are; NaN gives (NaN, NaN).
    draws : (B,) float array
        Its value on each resample, NaN where not defined.
    groups : int
        Groups that the metric rests on; decides Student's t, and how much a perfect value is worth.

    Returns
    -------
    low, high : float
        Inside the metric's range; `point` lies between them.

    Notes
    -----
    A value at the end of its range (every anomaly found) varies in no resample; there the Wilson
    interval of `groups` out of `groups` stands in (Brown, Cai & DasGupta 2001). The binned calibration
    error is biased upwards, and in each resample by as much again: the square it gains there is taken
    off the observed square before the interval is laid, which for a calibrated model leaves about 0.
    """
    metric, known = METRICS[name], draws[np.isfinite(draws)]
    if name == "ece" and np.isfinite(point) and len(known) > 1 and groups > 1:
        error, t = _spread(known, groups)
        return _bias_corrected(point, known, t * error)
    return bounded_interval(metric.low, metric.high, point, draws, groups)


def bounded_interval(
    least: float, most: float, point: float, draws: Floats, groups: int
) -> tuple[float, float]:
    """Give the 95 % interval of a value between `least` and `most`, which may be infinite; see `interval`."""
    known = draws[np.isfinite(draws)]
    if not np.isfinite(point) or len(known) < 2 or groups < 2:
        return float("nan"), float("nan")
    error, t = _spread(known, groups)
    if not np.isfinite(most):
        return max(least, point - t * error), point + t * error
    width = most - least
    share = (point - least) / width
    if share < _TINY or share > 1 - _TINY:
        low, high = _wilson_at_the_end(round(share), groups, t)
    else:
        low, high = _on_the_logit_scale(share, t * error / width)
    return least + width * low, least + width * high


def difference_interval(point: float, draws: Floats, groups: int) -> tuple[float, float]:
    """Give the 95 % interval of a paired difference of two metrics.

    Parameters
    ----------
    point : float
        The difference on the rows as they are.
    draws : (B,) float array
        The difference on each resample, both sides from the same draws.
    groups : int
        As for `interval`.

    Returns
    -------
    low, high : float
    """
    known = draws[np.isfinite(draws)]
    if not np.isfinite(point) or len(known) < 2 or groups < 2:
        return float("nan"), float("nan")
    error, t = _spread(known, groups)
    return point - t * error, point + t * error


def _spread(draws: Floats, groups: int) -> tuple[float, float]:
    """Give the standard error, corrected for drawing g of g groups, and Student's t."""
    error = float(draws.std(ddof=1)) * (groups / (groups - 1)) ** 0.5
    return error, float(stats.t.ppf((1 + LEVEL) / 2, groups - 1))


def _on_the_logit_scale(share: float, reach: float) -> tuple[float, float]:
    centre = np.log(share / (1 - share))
    half = reach / (share * (1 - share))
    low, high = 1 / (1 + np.exp(-np.clip([centre - half, centre + half], -700, 700)))
    return float(low), float(high)


def _wilson_at_the_end(end: int, groups: int, t: float) -> tuple[float, float]:
    far = t * t / (groups + t * t)
    return (1 - far, 1.0) if end else (0.0, far)


def _bias_corrected(point: float, draws: Floats, reach: float) -> tuple[float, float]:
    centre = float(np.sqrt(max(0.0, 2 * point**2 - float(np.mean(draws**2)))))
    return min(max(0.0, centre - reach), point), min(1.0, max(centre + reach, point))
