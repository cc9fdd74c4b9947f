"""From scores to probabilities: calibrators, learned on rows that the detector was not trained on.

Each takes scores of any scale, higher = more anomalous, and never turns their order round.
"""

from __future__ import annotations

from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression, minimize
from scipy.special import expit

from raresight.errors import DataError
from raresight.registry import Entry, Registry

Array = NDArray[Any]
Floats = NDArray[np.float64]

_HERE = "raresight.evidence.calibration"

UNCALIBRATED = "none"
"""Leaves the detector's own probability as it is."""

CALIBRATIONS = Registry(
    "calibration",
    {
        "platt": Entry(f"{_HERE}:Platt", "a logistic curve with smoothed targets", "Platt 1999"),
        "isotonic": Entry(f"{_HERE}:Isotonic", "a rising step function", "Zadrozny & Elkan 2002"),
        "beta": Entry(f"{_HERE}:Beta", "two slopes, one at each end", "Kull et al. 2017"),
        "venn-abers": Entry(
            f"{_HERE}:VennAbers", "isotonic twice, with the image as either class", "Vovk & Petej 2014"
        ),
        UNCALIBRATED: Entry(f"{_HERE}:Uncalibrated", "the detector's own probability"),
    },
)


class Calibrator(Protocol):
    """What every calibrator offers."""

    def fit(self, score: Array, label: Array) -> Self:
        """Learn from (n,) scores and (n,) labels, 1 = anomalous, of rows unseen by the detector."""
        ...

    def predict(self, score: Array) -> Floats:
        """Give (m,) probabilities of an anomaly for (m,) scores."""
        ...

    def numbers(self) -> dict[str, Any]:
        """Give all that `predict` needs as ``method`` and plain numbers, for JSON."""
        ...


class Uncalibrated:
    """No calibration: what comes in is taken for a probability."""

    def fit(self, score: Array, label: Array) -> Self:
        """Learn nothing."""
        return self

    def predict(self, score: Array) -> Floats:
        """Give (m,) probabilities back as they are."""
        return np.array(score, dtype=np.float64)

    def numbers(self) -> dict[str, Any]:
        """Give nothing but the method."""
        return {"method": UNCALIBRATED}


class Platt:
    """Logistic calibration of a score, with Platt's smoothed targets (n₁ + 1)/(n₁ + 2) and 1/(n₀ + 2).

    Source: Platt, "Probabilistic outputs for support vector machines" (1999), section 2.2.

    Attributes
    ----------
    slope_, intercept_ : float
        ``probability = 1 / (1 + exp(−(slope · score + intercept)))``; the slope is never negative.
    """

    def fit(self, score: Array, label: Array) -> Self:
        """Learn from scores of rows that the detector was not trained on.

        Parameters
        ----------
        score : (n,) float array
        label : (n,) int array
            1 = anomalous; both classes must occur.

        Raises
        ------
        DataError
            If a class is missing or a score is not finite.
        """
        score = _checked(score, label)
        centre, spread = float(score.mean()), float(score.std()) or 1.0
        slope, intercept = _logistic((score - centre)[:, None] / spread, _smoothed(label))
        self.slope_ = float(slope / spread)
        self.intercept_ = float(intercept - slope * centre / spread)
        return self

    def log_odds(self, score: Array) -> Floats:
        """Give the logarithm of the odds of an anomaly, (m,), for (m,) scores."""
        return np.asarray(self.slope_ * np.asarray(score, np.float64) + self.intercept_)

    def predict(self, score: Array) -> Floats:
        """Give the probability of an anomaly for each score."""
        return np.asarray(expit(self.log_odds(score)), np.float64)

    def numbers(self) -> dict[str, Any]:
        """Give ``slope`` and ``intercept``."""
        return {"method": "platt", "slope": self.slope_, "intercept": self.intercept_}


class Beta:
    """Beta calibration: log odds = a ln p − b ln(1 − p) + c, with a, b ≥ 0.

    A score is first brought into (0, 1) by `Platt`, so that one scale serves every detector; a = b = 1, c = 0
    is Platt's curve, and a ≠ b bends its two ends apart. Fitted to Platt's smoothed targets, which keeps the
    slopes finite where the classes part perfectly.

    Source: Kull, Silva Filho & Flach, "Beyond sigmoids: how to obtain well-calibrated probabilities from
    binary classifiers with beta calibration", Electronic Journal of Statistics 11 (2017).

    Attributes
    ----------
    a_, b_, c_ : float
    """

    def fit(self, score: Array, label: Array) -> Self:
        """Learn from (n,) scores and labels; see `Platt.fit`."""
        self._platt = Platt().fit(score, label)
        self.a_, self.b_, self.c_ = map(float, _logistic(self._features(score), _smoothed(label)))
        return self

    def predict(self, score: Array) -> Floats:
        """Give the probability of an anomaly for each score."""
        z = self._features(score) @ np.array([self.a_, self.b_]) + self.c_
        return np.asarray(expit(z), np.float64)

    def numbers(self) -> dict[str, Any]:
        """Give ``a``, ``b``, ``c``, and ``slope`` and ``intercept`` of the logistic curve before."""
        own = {"a": self.a_, "b": self.b_, "c": self.c_}
        return {**self._platt.numbers(), "method": "beta", **own}

    def _features(self, score: Array) -> Floats:
        """Give ln p and −ln(1 − p), (n, 2), from the log odds, so that neither is ever cut off."""
        z = self._platt.log_odds(score)
        return np.column_stack([-np.logaddexp(0.0, -z), np.logaddexp(0.0, z)])


class Isotonic:
    """The rising function that fits best by squares; straight lines between the scores it was learned from.

    Source: Zadrozny & Elkan, "Transforming classifier scores into accurate multiclass probability estimates",
    KDD 2002.
    """

    def fit(self, score: Array, label: Array) -> Self:
        """Learn from (n,) scores and labels; see `Platt.fit`."""
        self._score, share, weight = _pooled(score, label)
        self._share = np.asarray(isotonic_regression(share, weights=weight).x, np.float64)
        return self

    def predict(self, score: Array) -> Floats:
        """Give the probability of an anomaly for each score; beyond those learned from, the end's own."""
        return np.asarray(np.interp(score, self._score, self._share), np.float64)

    def numbers(self) -> dict[str, Any]:
        """Give ``scores`` and the ``probabilities`` at them."""
        known = {"scores": self._score.tolist(), "probabilities": self._share.tolist()}
        return {"method": "isotonic", **known}


class VennAbers:
    """Inductive Venn–Abers: isotonic with the image itself counted as normal, then as anomalous.

    One of the two probabilities is calibrated whatever the scores are, as long as rows are exchangeable.

    Source: Vovk & Petej, "Venn–Abers predictors", UAI 2014; merged to one probability by Vovk, Petej &
    Fedorova, "Large-scale probabilistic predictors with and without guarantees of validity", NeurIPS 2015.
    """

    def fit(self, score: Array, label: Array) -> Self:
        """Learn from (n,) scores and labels; see `Platt.fit`."""
        self._score, self._share, self._weight = _pooled(score, label)
        return self

    def interval(self, score: Array) -> tuple[Floats, Floats]:
        """Give both probabilities, (m,) each: with the image counted as normal, and as anomalous."""
        places = [np.searchsorted(self._score, score, side) for side in ("left", "right")]
        slots, back = np.unique(np.column_stack(places), axis=0, return_inverse=True)
        pairs = np.array([[self._with(int(i), int(j), own) for own in (0.0, 1.0)] for i, j in slots])
        low, high = pairs.reshape(-1, 2)[back.reshape(-1)].T
        return low, high

    def predict(self, score: Array) -> Floats:
        """Give p₁ / (1 − p₀ + p₁) for each score; neither 0 nor 1."""
        low, high = self.interval(score)
        return np.asarray(high / (1 - low + high), np.float64)

    def numbers(self) -> dict[str, Any]:
        """Give ``scores``, and ``probabilities`` before the first, at it, between it and the second, ….

        A score with i of `scores` below it and j not above it has the probability number i + j.
        """
        slots = [(place // 2, (place + 1) // 2) for place in range(2 * len(self._score) + 1)]
        low, high = np.array([[self._with(i, j, own) for own in (0.0, 1.0)] for i, j in slots]).T
        known = {"scores": self._score.tolist(), "probabilities": (high / (1 - low + high)).tolist()}
        return {"method": "venn-abers", **known}

    def _with(self, left: int, right: int, own: float) -> float:
        """Fit with one more row, at (left = right − 1) or between the scores learned from."""
        weight = self._weight[left:right].sum() + 1
        share = (self._share[left:right] @ self._weight[left:right] + own) / weight
        y = np.concatenate([self._share[:left], [share], self._share[right:]])
        w = np.concatenate([self._weight[:left], [weight], self._weight[right:]])
        return float(isotonic_regression(y, weights=w).x[left])


def _checked(score: Array, label: Array) -> Floats:
    found = np.asarray(score, np.float64)
    if not np.isfinite(found).all():
        raise DataError("a score to calibrate on is not finite; leave that recipe out")
    if len(np.unique(np.asarray(label) == 1)) < 2:
        raise DataError(
            "calibration needs scores of both normal and anomalous images; it was given one class"
        )
    return found


def _smoothed(label: Array) -> Floats:
    """Give Platt's targets: a class seen n times is not certain."""
    anomalous = np.asarray(label) == 1
    positives = int(anomalous.sum())
    negatives = len(anomalous) - positives
    return np.where(anomalous, (positives + 1) / (positives + 2), 1 / (negatives + 2))


def _pooled(score: Array, label: Array) -> tuple[Floats, Floats, Floats]:
    """Give the distinct scores in order, the share of anomalies at each, and how many rows have it."""
    distinct, back, count = np.unique(_checked(score, label), return_inverse=True, return_counts=True)
    hits = np.bincount(back, weights=np.asarray(label) == 1)
    return distinct, hits / count, count.astype(np.float64)


def _logistic(features: Floats, target: Floats) -> Floats:
    """Maximise a logistic likelihood of soft targets; slopes (k) never below 0, then the intercept."""
    X = np.column_stack([features, np.ones(len(features))])

    def loss(beta: Array) -> tuple[float, Array]:
        z = X @ beta
        value = float((np.logaddexp(0.0, z) - target * z).mean())
        return value, X.T @ (expit(z) - target) / len(X)

    slopes = X.shape[1] - 1
    share = target.mean()
    start = np.append(np.ones(slopes), np.log(share / (1 - share)))
    bounds = [(0.0, None)] * slopes + [(None, None)]
    options = {"ftol": 1e-14, "gtol": 1e-9, "maxiter": 1000}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return np.asarray(found.x, np.float64)
