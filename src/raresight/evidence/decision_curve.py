"""What acting on a detector is worth: net benefit at each threshold probability."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from raresight.evidence.metrics import Floats

_STEPS = np.arange(1, 51) / 10
"""Thresholds as multiples of the prevalence: from a tenth to five times."""


def net_benefit(
    sensitivity: ArrayLike, specificity: ArrayLike, prevalence: float, threshold: ArrayLike
) -> Floats:
    """Give true positives a patient, less false positives at the rate of exchange that the threshold states.

    Whoever acts from a probability of t on takes t / (1 − t) of a found anomaly to be worth a false alarm.
    Acting on nobody is worth 0; for acting on everybody see `treat_all`.

    Source: Vickers & Elkin, "Decision curve analysis", Medical Decision Making 26 (2006); at another
    prevalence Vickers, Cronin, Elkin & Gonen, BMC Medical Informatics and Decision Making 8 (2008).

    Parameters
    ----------
    sensitivity, specificity : array-like of float in [0, 1]
        Of the decision to act where the probability is at least the threshold.
    prevalence : float
        Above 0 and below 1.
    threshold : array-like of float
        In [0, 1).

    Returns
    -------
    float array, at most `prevalence`
    """
    t = np.asarray(threshold, np.float64)
    found = np.asarray(sensitivity, np.float64) * prevalence
    alarms = (1 - np.asarray(specificity, np.float64)) * (1 - prevalence)
    return np.asarray(found - alarms * t / (1 - t), np.float64)


def treat_all(prevalence: float, threshold: ArrayLike) -> Floats:
    """Give the net benefit of acting on everybody; see `net_benefit`."""
    return net_benefit(1.0, 0.0, prevalence, threshold)


def threshold_grid(prevalence: float) -> Floats:
    """Give a decision curve's threshold probabilities: tenths of the prevalence, up to 5 times, below .95."""
    grid = np.round(prevalence * _STEPS, 12)
    return np.asarray(grid[grid < 0.95], np.float64)
