"""Where to cut a score: rules learned from out-of-fold scores of training rows.

``youden`` · ``f1`` · ``sensitivity=0.95`` and ``specificity=0.95`` (at least so much) · ``cost=10`` (a missed
anomaly costs ten false alarms).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.errors import OptionError

Array = NDArray[Any]

DEFAULT_RULES = ("youden", "f1", "specificity=0.95")
"""What is learned beside the detector's own threshold when nothing is asked for."""


def _cuts(score: Array, label: Array) -> tuple[Array, Array, Array]:
    """Thresholds half-way between neighbouring scores, with sensitivity and specificity at each.

    The first calls every row anomalous, the last none.
    """
    order = np.argsort(score, kind="stable")
    s, positive = score[order], label[order] == 1
    ends = np.flatnonzero(np.diff(s))
    middle = (s[ends] + s[ends + 1]) / 2
    cuts = np.concatenate([[s[0]], middle, [np.nextafter(s[-1], np.inf)]])
    below = np.concatenate([[0], ends + 1, [len(s)]])
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


def at_sensitivity(score: Array, label: Array, least: float) -> float:
    """Highest threshold at which a new anomaly is expected to be found with at least a given chance.

    With n anomalies the k-th smallest of their scores lies above a new one's with chance k / (n + 1); so k is
    the largest whole number up to (n + 1)(1 − least), a little stricter than the share found among these n.
    Fewer than least / (1 − least) anomalies (19 for .95) cannot promise so much: then all of them are found,
    and no more is claimed.

    Source: the conformal quantile of one class; Vovk, "Conditional validity of inductive conformal
    predictors", Machine Learning 92 (2013).

    Parameters
    ----------
    score : (n,) float array
    label : (n,) int array
        1 = anomalous.
    least : float
        Above 0 and below 1.
    """
    own = np.sort(score[label == 1])
    bound = own[_allowed(len(own), least) - 1]
    cuts = _cuts(score, label)[0]
    return float(cuts[np.searchsorted(cuts, bound, "right") - 1])


def at_specificity(score: Array, label: Array, least: float) -> float:
    """Lowest threshold at which a new normal image is expected to be spared with at least a given chance.

    `at_sensitivity` mirrored: too few normal rows to promise so much, and the threshold lies above them all.
    """
    own = np.sort(score[label != 1])
    bound = own[len(own) - _allowed(len(own), least)]
    cuts = _cuts(score, label)[0]
    return float(cuts[np.searchsorted(cuts, bound, "right")])


def _allowed(rows: int, least: float) -> int:
    # 1e-9: (99 + 1)(1 − 0.95) must be 5, whatever binary fractions make of it.
    return max(1, math.floor((rows + 1) * (1 - least) + 1e-9))


def least_cost(score: Array, label: Array, ratio: float, prevalence: float) -> float:
    """Threshold with the smallest expected cost: ratio · π (1 − sensitivity) + (1 − π)(1 − specificity).

    Source: Metz, "Basic principles of ROC analysis", Seminars in Nuclear Medicine 8 (1978).

    Parameters
    ----------
    score : (n,) float array
    label : (n,) int array
        1 = anomalous.
    ratio : float
        What a missed anomaly costs, in false alarms; above 0.
    prevalence : float
        π, the share of anomalies where the threshold is to serve.
    """
    cuts, sensitivity, specificity = _cuts(score, label)
    cost = ratio * prevalence * (1 - sensitivity) + (1 - prevalence) * (1 - specificity)
    return float(cuts[np.argmin(cost)])


RULES: dict[str, Callable[[Array, Array, float, float], float]] = {
    "youden": lambda score, label, value, prevalence: youden(score, label),
    "f1": lambda score, label, value, prevalence: best_f1(score, label),
    "sensitivity": lambda score, label, value, prevalence: at_sensitivity(score, label, value),
    "specificity": lambda score, label, value, prevalence: at_specificity(score, label, value),
    "cost": least_cost,
}
"""Name → (scores, labels, value, prevalence) of rows that the detector was not trained on → threshold."""

_VALUES = {"sensitivity": "0.95", "specificity": "0.95", "cost": "10"}
"""Rules that need a value, each with an example of one."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule with its value.

    Attributes
    ----------
    kind : str
        Of `RULES`.
    value : float
        NaN where the rule takes none.
    """

    kind: str
    value: float = math.nan

    def __str__(self) -> str:
        return self.kind if math.isnan(self.value) else f"{self.kind}={self.value:.12g}"

    def learn(self, score: Array, label: Array, prevalence: float) -> float:
        """Find the threshold.

        Parameters
        ----------
        score, label : (n,) arrays
            Of rows that the detector was not trained on; 1 = anomalous, and both classes occur.
        prevalence : float
            Share of anomalies where the threshold is to serve; only ``cost`` looks at it.
        """
        return RULES[self.kind](score, label, self.value, prevalence)


def parse_rule(text: str) -> Rule:
    """Read ``youden`` or ``specificity=0.95``.

    Raises
    ------
    OptionError
        If there is no such rule, or its value is missing, not wanted or out of range.
    """
    kind, equals, value = (part.strip() for part in str(text).partition("="))
    if kind not in RULES:
        there = ", ".join(f"{name}={_VALUES[name]}" if name in _VALUES else name for name in RULES)
        raise OptionError(f"unknown threshold rule {str(text)!r}; there are: {there}")
    if kind not in _VALUES:
        if equals:
            raise OptionError(f"the threshold rule {kind} takes no value; write {kind}")
        return Rule(kind)
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    # NaN and infinity fail both comparisons.
    if not 0 < number < (math.inf if kind == "cost" else 1):
        allowed = "above 0" if kind == "cost" else "above 0 and below 1"
        raise OptionError(
            f"the threshold rule {str(text)!r} needs a value {allowed}; write {kind}={_VALUES[kind]}"
        )
    return Rule(kind, number)


def parse_rules(texts: Iterable[str]) -> tuple[str, ...]:
    """Read rules and give each its one name, without repetition; ``default`` is there anyway.

    Raises
    ------
    OptionError
        See `parse_rule`.
    """
    return tuple(dict.fromkeys(str(parse_rule(text)) for text in texts if text.strip() != "default"))


def rule_title(rule: str) -> str:
    """Call a rule as a table's heading does: ``specificity ≥ 0.95``."""
    kind, _, value = rule.partition("=")
    return f"cost {value} : 1" if kind == "cost" else f"{kind} ≥ {value}" if value else kind
