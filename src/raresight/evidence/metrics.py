"""The metrics, each with its definition and source, over many weightings of the same rows at once.

Every function takes weights of shape (B, n), one line a resample, and gives (B,) values, so that a
bootstrap is a few matrix products and cumulative sums. A value that is not defined (0/0, one class
only, no probabilities) is NaN.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raresight.evidence.logistic import intercepts, slopes

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ECE_BINS = 15
"""Bins of the expected calibration error; each holds the same number of rows (equal mass)."""

SPECIFICITY_KEPT = 0.95
"""The specificity at which `sensitivity_at_95_specificity` is read off."""

PROBABILITY_FLOOR = 1e-7
"""Probabilities are kept this far from 0 and 1 before their logit is taken."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What a metric is called, what it means and where it stands in the literature.

    Attributes
    ----------
    title : str
        As a table's heading.
    definition : str
        In TP, FN, FP, TN (anomalous = positive), or in words.
    source : str
        Where it is defined.
    reads : {"decision", "ranking", "probability"}
        What of a prediction it looks at.
    low, high : float
        The range of its values; infinite where there is no bound.
    """

    title: str
    definition: str
    source: str
    reads: Literal["decision", "ranking", "probability"]
    low: float = 0.0
    high: float = 1.0


_POWERS = "Powers 2011"
METRICS: dict[str, Metric] = {
    "accuracy": Metric("Accuracy", "(TP + TN) / n", _POWERS, "decision"),
    "sensitivity": Metric("Sensitivity", "TP / (TP + FN), also recall", _POWERS, "decision"),
    "specificity": Metric("Specificity", "TN / (TN + FP)", _POWERS, "decision"),
    "f1": Metric("F1", "2 TP / (2 TP + FP + FN)", "van Rijsbergen 1979", "decision"),
    "ppv": Metric("PPV", "TP / (TP + FP), also precision, at the set's own prevalence", _POWERS, "decision"),
    "npv": Metric("NPV", "TN / (TN + FN), at the set's own prevalence", _POWERS, "decision"),
    "mcc": Metric(
        "MCC",
        "(TP TN − FP FN) / √((TP+FP)(TP+FN)(TN+FP)(TN+FN))",
        "Matthews 1975; Chicco & Jurman 2020",
        "decision",
        low=-1.0,
    ),
    "informedness": Metric(
        "Informedness", "sensitivity + specificity − 1, also Youden's J", _POWERS, "decision", low=-1.0
    ),
    "markedness": Metric("Markedness", "PPV + NPV − 1", _POWERS, "decision", low=-1.0),
    "balanced_accuracy": Metric(
        "Balanced accuracy", "(sensitivity + specificity) / 2", "Brodersen et al. 2010", "decision"
    ),
    "auroc": Metric(
        "AUROC",
        "chance that an anomalous image scores above a normal one, ties counting one half",
        "Hanley & McNeil 1982",
        "ranking",
    ),
    "auprc": Metric(
        "AUPRC", "average precision: Σ (recall gained) × precision", "Davis & Goadrich 2006", "ranking"
    ),
    "sensitivity_at_95_specificity": Metric(
        "Sens. at 95 % spec.",
        "highest sensitivity among the thresholds whose specificity is at least .95",
        "Pepe 2003",
        "ranking",
    ),
    "brier": Metric("Brier", "mean squared difference of probability and label", "Brier 1950", "probability"),
    "log_loss": Metric(
        "Log loss",
        "mean of −ln of the probability given to what was the case",
        "Good 1952",
        "probability",
        high=np.inf,
    ),
    "ece": Metric(
        "ECE",
        f"mean over {ECE_BINS} equal-mass bins of |share of anomalies − mean probability|, weighted by size",
        "Naeini et al. 2015; Nguyen & O'Connor 2015",
        "probability",
    ),
    "calibration_slope": Metric(
        "Calibration slope",
        "slope of a logistic regression of the label on the probability's logit; below 1 = over-confident",
        "Cox 1958; Van Calster et al. 2019",
        "probability",
        low=-np.inf,
        high=np.inf,
    ),
    "calibration_intercept": Metric(
        "Calibration intercept",
        "intercept of that regression with the slope held at 1; above 0 = anomalies are underestimated",
        "Cox 1958; Van Calster et al. 2019",
        "probability",
        low=-np.inf,
        high=np.inf,
    ),
}
"""Every metric of ``metrics.json``, in the order of its tables."""


def names_of(reads: str) -> tuple[str, ...]:
    """Name the metrics that read decisions, rankings or probabilities."""
    return tuple(name for name, metric in METRICS.items() if metric.reads == reads)


def flag(score: ArrayLike, threshold: ArrayLike) -> Bools:
    """Tell which scores are called anomalous: those at or above the threshold.

    Parameters
    ----------
    score, threshold : array-like of float, broadcast against each other

    Returns
    -------
    bool array
    """
    return np.greater_equal(np.asarray(score, np.float64), np.asarray(threshold, np.float64))


def divide(top: Floats, bottom: Floats) -> Floats:
    """Divide, with NaN and no warning where the divisor is 0."""
    ratio: Floats = np.full(np.broadcast(top, bottom).shape, np.nan)
    np.divide(top, bottom, out=ratio, where=bottom != 0)
    return ratio


def confusion(label: ArrayLike, flagged: ArrayLike, weights: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Count a confusion matrix under each weighting.

    Parameters
    ----------
    label, flagged : (n,) array-like of bool or 0/1
        Whether the row is anomalous; whether it was called anomalous.
    weights : (B, n) float array

    Returns
    -------
    tp, fp, fn, tn : (B,) float arrays
    """
    y, f = np.asarray(label, bool), np.asarray(flagged, bool)
    cells: Floats = weights @ np.column_stack([y & f, ~y & f, y & ~f, ~y & ~f]).astype(np.float64)
    return cells[:, 0], cells[:, 1], cells[:, 2], cells[:, 3]


def decision_metrics(label: ArrayLike, flagged: ArrayLike, weights: Floats) -> dict[str, Floats]:
    """Compute what one confusion matrix tells, under each weighting; see `confusion`."""
    tp, fp, fn, tn = confusion(label, flagged, weights)
    sensitivity, specificity = divide(tp, tp + fn), divide(tn, tn + fp)
    ppv, npv = divide(tp, tp + fp), divide(tn, tn + fn)
    margins = np.sqrt(tp + fp) * np.sqrt(tp + fn) * np.sqrt(tn + fp) * np.sqrt(tn + fn)
    return {
        "accuracy": divide(tp + tn, tp + fp + fn + tn),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "f1": divide(2 * tp, 2 * tp + fp + fn),
        "ppv": ppv,
        "npv": npv,
        "mcc": divide(tp * tn - fp * fn, margins),
        "informedness": sensitivity + specificity - 1,
        "markedness": ppv + npv - 1,
        "balanced_accuracy": (sensitivity + specificity) / 2,
    }


def ranking_metrics(label: ArrayLike, score: ArrayLike, weights: Floats) -> dict[str, Floats]:
    """Compute what the order of one model's scores tells, under each weighting.

    Each anomalous row's own score is taken as a threshold once; all three metrics follow from the
    weight of normal rows below it and of anomalous rows at or above it.

    Parameters
    ----------
    label : (n,) array-like of bool or 0/1
    score : (n,) array-like of float
        Higher is more anomalous. Of one fitted model: scores of several are not on one scale.
    weights : (B, n) float array

    Returns
    -------
    dict of str to (B,) float array
        ``auroc``, ``auprc``, ``sensitivity_at_95_specificity``.
    """
    y, s = np.asarray(label, bool), np.asarray(score, np.float64)
    negatives, positives = _sorted_rows(s, ~y), _sorted_rows(s, y)
    low, high = s[negatives], s[positives]
    if not len(low) or not len(high):
        return {name: np.full(len(weights), np.nan) for name in names_of("ranking")}
    below_all = _running(weights[:, negatives])
    own = weights[:, positives]
    above_all = _running(own)
    N, P = below_all[:, -1:], above_all[:, -1:]
    left, right = np.searchsorted(low, high, "left"), np.searchsorted(low, high, "right")
    below = np.take(below_all, left, axis=1)
    tied = np.take(below_all, right, axis=1) - below if np.any(left != right) else 0.0
    caught = P - np.take(above_all, np.searchsorted(high, high, "left"), axis=1)
    precision = divide(caught, caught + (N - below))
    kept = below >= (SPECIFICITY_KEPT - 1e-12) * N
    pairs = (P * N)[:, 0]
    usable = pairs > 0
    return {
        "auroc": divide(_dot(own, below + 0.5 * tied), pairs),
        "auprc": np.where(usable, divide(_dot(own, np.nan_to_num(precision)), P[:, 0]), np.nan),
        "sensitivity_at_95_specificity": np.where(usable, divide(_dot(own, kept), P[:, 0]), np.nan),
    }


def _sorted_rows(score: Floats, chosen: Bools) -> NDArray[np.int64]:
    rows = np.flatnonzero(chosen)
    return rows[np.argsort(score[rows], kind="stable")]


def _running(weights: Floats) -> Floats:
    """Sum along the rows, with a leading 0, so that entry k is the weight of the first k."""
    total = np.zeros((len(weights), weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=total[:, 1:])
    return total


def _dot(a: Floats, b: Floats | Bools) -> Floats:
    return np.asarray(np.einsum("bi,bi->b", a, b), np.float64)


def probability_metrics(
    label: ArrayLike, probability: ArrayLike, weights: Floats, *, steps: int = 50
) -> dict[str, Floats]:
    """Compute how far probabilities can be taken at their word, under each weighting.

    Parameters
    ----------
    label : (n,) array-like of bool or 0/1
    probability : (n,) array-like of float in [0, 1]
        NaN in any row makes every value NaN.
    weights : (B, n) float array
    steps : int
        Newton steps for the calibration slope and intercept, from the fit to all weightings' mean. 1 is the
        one-step bootstrap, off by terms of order 1/n only.

    Returns
    -------
    dict of str to (B,) float array
        ``brier``, ``log_loss``, ``ece``, ``calibration_slope``, ``calibration_intercept``.
    """
    y, p = np.asarray(label, np.float64), np.asarray(probability, np.float64)
    if not len(p) or np.isnan(p).any():
        return {name: np.full(len(weights), np.nan) for name in names_of("probability")}
    total = weights.sum(axis=1)
    gaps = np.abs(weights @ ((y - p)[:, None] * _bins(p)))
    kept = np.clip(p, PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    logit = np.log(kept) - np.log1p(-kept)
    return {
        "brier": divide(weights @ (y - p) ** 2, total),
        "log_loss": divide(-weights @ np.where(y == 1, np.log(kept), np.log1p(-kept)), total),
        "ece": divide(gaps.sum(axis=1), total),
        "calibration_slope": slopes(y, logit, weights, steps),
        "calibration_intercept": intercepts(y, logit, weights, steps),
    }


def _bins(probability: Floats) -> Bools:
    """Assign each row to its equal-mass bin, (n, bins); equal probabilities stay together."""
    return np.equal.outer(equal_mass_bins(probability, ECE_BINS), np.arange(ECE_BINS))


def equal_mass_bins(values: Floats, bins: int) -> NDArray[np.int64]:
    """Give the bin of each value; the bins' edges are quantiles of the values."""
    edges = np.quantile(values, np.linspace(0, 1, bins + 1)[1:-1])
    return np.searchsorted(edges, values, "left")


def evaluate(
    label: ArrayLike,
    score: ArrayLike,
    probability: ArrayLike,
    flagged: ArrayLike,
    weights: Floats | None = None,
) -> dict[str, Floats]:
    """Compute every metric for the rows of one fitted model, under each weighting.

    Parameters
    ----------
    label : (n,) array-like of bool or 0/1
        1 = anomalous.
    score : (n,) array-like of float
        Higher is more anomalous.
    probability : (n,) array-like of float
        In [0, 1], or NaN where there is none.
    flagged : (n,) array-like of bool
        The decision, see `flag`.
    weights : (B, n) float array, optional
        One line a weighting; without it, one line of ones.

    Returns
    -------
    dict of str to (B,) float array
        One entry for each of `METRICS`, in its order; NaN where it is not defined.
    """
    w = np.ones((1, len(np.asarray(label)))) if weights is None else np.asarray(weights, np.float64)
    found = {
        **decision_metrics(label, flagged, w),
        **ranking_metrics(label, score, w),
        **probability_metrics(label, probability, w),
    }
    return {name: found[name] for name in METRICS}


def average(values: Iterable[Floats]) -> Floats:
    """Average over folds or repeats, leaving out those where the value is not defined."""
    stacked = np.stack(list(values))
    known = np.isfinite(stacked)
    return divide(np.where(known, stacked, 0).sum(axis=0), known.sum(axis=0).astype(np.float64))
