"""Probabilities and predictive values at another prevalence than that of the rows at hand."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raresight.errors import OptionError
from raresight.evidence.metrics import Floats, divide


def check_prevalence(value: float, name: str = "prevalence") -> float:
    """Give a prevalence back that lies between 0 and 1.

    Raises
    ------
    OptionError
        If it doesn't.
    """
    if not 0 < value < 1:
        raise OptionError(
            f"{name} {value:g} is out of range; write a share above 0 and below 1, such as 0.02"
        )
    return float(value)


def prior_correction(probability: ArrayLike, trained_at: float, wanted: float) -> NDArray[np.float64]:
    """Move probabilities from the prevalence they were learned at to another, by the ratio of the odds.

    Exact where only the share of anomalies differs and each class looks the same as before: rows dropped,
    repeated or weighted at random by class. After synthesis it holds as far as synthetic rows look like real
    ones; hence calibration on real rows comes first.

    Source: Elkan, "The foundations of cost-sensitive learning", IJCAI 2001, theorem 2; Saerens, Latinne &
    Decaestecker, "Adjusting the outputs of a classifier to new a priori probabilities", Neural Computation 14
    (2002), equation 2.4.

    Parameters
    ----------
    probability : array-like of float
        In [0, 1]; NaN stays NaN.
    trained_at, wanted : float
        Share of anomalies, above 0 and below 1: as weighted in training, and where the result is to hold.

    Returns
    -------
    float64 array of the same shape

    Raises
    ------
    OptionError
        If a share is out of range.
    """
    p = np.array(probability, dtype=np.float64)
    if check_prevalence(trained_at, "trained_at") == check_prevalence(wanted, "wanted"):
        return p
    anomalous, normal = p * (wanted / trained_at), (1 - p) * ((1 - wanted) / (1 - trained_at))
    return np.asarray(anomalous / (anomalous + normal), np.float64)


def predictive_values(
    sensitivity: ArrayLike, specificity: ArrayLike, prevalence: float
) -> tuple[Floats, Floats]:
    """Give PPV and NPV at a prevalence, by Bayes' theorem.

    Source: Altman & Bland, "Diagnostic tests 2: predictive values", BMJ 309 (1994).

    Parameters
    ----------
    sensitivity, specificity : array-like of float in [0, 1], of one shape
    prevalence : float
        Above 0 and below 1.

    Returns
    -------
    ppv, npv : float arrays
        NaN where nothing is called anomalous, or nothing normal.
    """
    hit = np.asarray(sensitivity, np.float64) * prevalence
    alarm = (1 - np.asarray(specificity, np.float64)) * (1 - prevalence)
    return divide(hit, hit + alarm), divide((1 - prevalence) - alarm, 1 - hit - alarm)


def brier_of_constant(prevalence: Any) -> Any:
    """Give the Brier score of whoever says the prevalence of every image: π (1 − π)."""
    return prevalence * (1 - prevalence)


def log_loss_of_constant(prevalence: float) -> float:
    """Give the log loss of whoever says the prevalence of every image: its entropy, in nats."""
    return float(-prevalence * np.log(prevalence) - (1 - prevalence) * np.log(1 - prevalence))
