"""Where to cut a score: rules learned from out-of-fold scores of training rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def _cuts(score: Array, label: Array) -> tuple[Array, Array, Array]:
    """Thresholds half-way between neighbouring scores, with sensitivity and specificity at each."""
    order = np.argsort(score, kind="stable")
    s, positive = score[order], label[order] == 1
    ends = np.flatnonzero(np.diff(s))
    middle = (s[ends] + s[ends + 1]) / 2
    cuts = np.concatenate([[s[0]], middle])
    below = np.concatenate([[0], ends + 1])
    missed = np.concatenate([[0], np.cumsum(positive)])[below]
    spared = below - missed
    positives = max(1, int(positive.sum()))
    negatives = max(1, len(label) - int(positive.sum()))
    return cuts, 1 - missed / positives, spared / negatives


def youden(score: Array, label: Array) -> float:
    """Threshold with the largest sensitivity + specificity (Youden 1950)."""
    cuts, sensitivity, specificity = _cuts(score, label)
    return float(cuts[np.argmax(sensitivity + specificity)])


def best_f1(score: Array, label: Array) -> float:
    """Threshold with the largest F1."""
    cuts, sensitivity, specificity = _cuts(score, label)
    prevalence = float((label == 1).mean())
    hit = sensitivity * prevalence
    false_alarm = (1 - specificity) * (1 - prevalence)
    return float(cuts[np.argmax(2 * hit / np.maximum(hit + false_alarm + prevalence, 1e-12))])


RULES: dict[str, Callable[[Array, Array], float]] = {"youden": youden, "f1": best_f1}
"""Name → rule: (scores, labels) of rows the detector was not trained on → threshold."""
