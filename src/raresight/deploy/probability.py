"""From scores to calibrated probabilities by plain numbers, with numpy alone.

The numbers are those of `raresight.evidence.calibration`, ``numbers()``; a test holds both to each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Numbers = Mapping[str, Any]


def logistic(z: Floats) -> Floats:
    """Give 1 / (1 + exp(−z)), whatever the size of z."""
    small = np.exp(-np.abs(z))
    return np.asarray(np.where(z >= 0, 1.0, small) / (1 + small), np.float64)


def _platt(score: Floats, known: Numbers) -> Floats:
    return logistic(known["slope"] * score + known["intercept"])


def _beta(score: Floats, known: Numbers) -> Floats:
    z = known["slope"] * score + known["intercept"]
    log_p, log_q = -np.logaddexp(0.0, -z), -np.logaddexp(0.0, z)
    return logistic(known["a"] * log_p - known["b"] * log_q + known["c"])


def _isotonic(score: Floats, known: Numbers) -> Floats:
    return np.asarray(np.interp(score, known["scores"], known["probabilities"]), np.float64)


def _venn_abers(score: Floats, known: Numbers) -> Floats:
    below, up_to = (np.searchsorted(known["scores"], score, side) for side in ("left", "right"))
    table: Floats = np.asarray(known["probabilities"], np.float64)
    return np.asarray(table[below + up_to])


METHODS: dict[str, Callable[[Floats, Numbers], Floats]] = {
    "platt": _platt,
    "beta": _beta,
    "isotonic": _isotonic,
    "venn-abers": _venn_abers,
    "logistic": lambda score, known: logistic(score),
    "identity": lambda score, known: score,
}
"""Method → (scores, numbers) → probabilities; the last two take the detector's own for what they are."""


def probabilities(score: Floats, calibration: Numbers | None) -> Floats:
    """Turn (n,) scores into (n,) probabilities of an anomaly; NaN where none can be told.

    Parameters
    ----------
    score : (n,) float64 array
    calibration : mapping or None
        ``method``, of `METHODS`, and its numbers; ``learned_at`` and ``stated_at``, shares of anomalies: what
        the method knows is moved from the first to the second by the ratio of the odds. Source: Elkan, "The
        foundations of cost-sensitive learning", IJCAI 2001, theorem 2.
    """
    if calibration is None:
        return np.full(len(score), np.nan)
    with np.errstate(invalid="ignore"):  # a score that is no number has no probability either
        p: Floats = METHODS[calibration["method"]](score, calibration)
    learned_at, stated_at = calibration["learned_at"], calibration["stated_at"]
    if learned_at == stated_at:
        return p
    anomalous, normal = p * (stated_at / learned_at), (1 - p) * ((1 - stated_at) / (1 - learned_at))
    return np.asarray(anomalous / (anomalous + normal), np.float64)
