"""Calibration of class shares: one temperature, and one offset a class."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

Floats = NDArray[np.float64]

COLDEST, HOTTEST = 1e-3, 1e3
"""What scores may be multiplied by."""


class Temperature:
    """Bias-corrected temperature scaling: softmax(a × score + b), by maximum likelihood.

    The temperature 1 / a takes over-confidence back; the offsets b take back the class shares that a
    balanced training set made a detector believe in. Targets are smoothed as Platt's are, so that classes
    told apart without a mistake do not make for certainty.

    Source: Alexandari, Kundaje & Shrikumar, "Maximum likelihood with bias-corrected calibration is
    hard-to-beat at label shift adaptation", ICML 2020; after Guo, Pleiss, Sun & Weinberger, "On calibration
    of modern neural networks", ICML 2017. Targets: Platt, "Probabilistic outputs for support vector
    machines", Advances in Large Margin Classifiers 1999.

    Attributes
    ----------
    scale_ : float
        a, above 0.
    offsets_ : (classes,) float array
    """

    def fit(self, score: Floats, label: NDArray[np.int64]) -> Self:
        """Learn from rows that the detector did not see.

        Parameters
        ----------
        score : (n, classes) float array
            Logits, or logarithms of class shares.
        label : (n,) int array
            0 … classes − 1.
        """
        n, classes = score.shape
        own = np.bincount(label, minlength=classes)
        target = ((np.eye(classes) * own + 1) / (own[:, None] + classes))[label]

        def loss(found: Floats) -> tuple[float, Floats]:
            scale, offsets = np.exp(found[0]), found[1:]
            logits = scale * score + offsets
            gap = (softmax(logits, axis=1) - target) / n
            value = -float((target * log_softmax(logits, axis=1)).sum()) / n
            slopes = np.concatenate([[scale * (gap * score).sum()], gap.sum(axis=0)])
            return value, slopes

        limits = [(np.log(COLDEST), np.log(HOTTEST)), *([(None, None)] * classes)]
        found = minimize(loss, np.zeros(classes + 1), jac=True, method="L-BFGS-B", bounds=limits)
        self.scale_ = float(np.exp(found.x[0]))
        self.offsets_ = np.asarray(found.x[1:], np.float64)
        return self

    def predict(self, score: Floats) -> Floats:
        """Give calibrated shares of the classes, (n, classes); each row's add up to 1."""
        return np.asarray(softmax(self.scale_ * score + self.offsets_, axis=1), np.float64)
