"""From scores to probabilities."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

Array = NDArray[Any]


class Platt:
    """Logistic calibration of a score.

    Source: Platt, "Probabilistic outputs for support vector machines" (1999), with its smoothed targets.

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
        """
        positives = int(label.sum())
        negatives = len(label) - positives
        target = np.where(label == 1, (positives + 1) / (positives + 2), 1 / (negatives + 2))
        centre, spread = float(score.mean()), float(score.std()) or 1.0
        x = (score - centre) / spread

        def loss(parameters: Array) -> tuple[float, Array]:
            z = parameters[0] * x + parameters[1]
            residual = expit(z) - target
            value = float((np.logaddexp(0.0, z) - target * z).mean())
            return value, np.array([(residual * x).mean(), residual.mean()])

        start = np.array([1.0, np.log((positives + 1) / (negatives + 1))])
        found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(0.0, None), (None, None)])
        self.slope_ = float(found.x[0] / spread)
        self.intercept_ = float(found.x[1] - found.x[0] * centre / spread)
        return self

    def predict(self, score: Array) -> NDArray[np.float64]:
        """Give the probability of an anomaly for each score."""
        result: NDArray[np.float64] = expit(self.slope_ * score + self.intercept_)
        return result
