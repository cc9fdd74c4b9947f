"""Class-conditional split conformal prediction with patients as units: `anomalous`, `normal` or `refer`.

Each class has its own error rate, which holds whatever the scores mean and however rare the class is: of new
patients of the class, at most a share α has it ruled out. Where only one class is plausible it is the answer;
where both are, or neither is, the image is referred.

One score a patient, because the images of one patient are not independent, and n images of m patients promise
no more than m do. Which score decides what is promised:

* ``promise="patient"`` takes the **maximum** of each class's images. A patient with an anomaly is missed when
  every anomalous image is, so when their largest score is too low; a healthy patient is falsely alarmed when
  any image is, so when their largest score is too high. It fits a worklist, where one flagged image brings
  the patient up. One image of several may be missed more often than α.
* ``promise="image"`` takes the **minimum** of a patient's anomalous images, and the maximum of the normal
  ones, the worst of each. It holds for every image of a patient at once, and so costs more referrals.

With one image a patient the two are the same.

Only numpy is imported, so that a bundle can carry and ask a `Conformal` where nothing else is installed.

Source: Vovk, Gammerman & Shafer, "Algorithmic learning in a random world", Springer 2005 (class-conditional,
or Mondrian, conformal predictors); Vovk, "Conditional validity of inductive conformal predictors", Machine
Learning 92 (2013) (the law of the error rate); Dunn, Wasserman & Ramdas, "Distribution-free prediction sets
for two-layer hierarchical models", JASA 118 (2023) (one score a group).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raresight.errors import DataError, OptionError

Floats = NDArray[np.float64]
Promise = Literal["patient", "image"]

CLASSES = {"normal": 0, "anomalous": 1}
"""Name → label."""

REFER = "refer"
"""The decision where both classes are plausible, or neither is."""

_ROUNDING = 1e-9
"""(99 + 1) · 0.05 must be 5, whatever binary fractions make of it."""


@dataclass(frozen=True)
class Conformal:
    """Calibrated by patients that the detector did not see; made by `Conformal.fit`.

    Attributes
    ----------
    alpha : dict of str to float
        ``normal`` and ``anomalous`` → the error rate allowed.
    scores : dict of str to (patients,) float64 array
        Of each class, one score a patient, ascending.
    promise : {"patient", "image"}
        What the error rate is about; see the module.
    """

    alpha: dict[str, float]
    scores: dict[str, Floats]
    promise: Promise = "patient"

    @classmethod
    def fit(
        cls,
        label: ArrayLike,
        score: ArrayLike,
        group: ArrayLike,
        alpha: float | Mapping[str, float] = 0.05,
        promise: Promise = "patient",
    ) -> Conformal:
        """Calibrate.

        Parameters
        ----------
        label : (n,) int array
            0 = normal, 1 = anomalous, of images that the detector was not trained on.
        score : (n,) float array
            Higher = more anomalous.
        group : (n,) array
            The patient of each image.
        alpha : float or mapping
            Error rate of both classes, or one of each by its name; above 0 and below 1.
        promise : {"patient", "image"}

        Raises
        ------
        OptionError
            If an error rate is out of range, or too small for the patients there are: n < 1/α − 1.
        DataError
            If labels, scores and groups do not fit, or a score is not finite.
        """
        label, score, group = np.asarray(label), np.asarray(score, np.float64), np.asarray(group)
        if not (label.shape == score.shape == group.shape and score.ndim == 1):
            raise DataError("labels, scores and groups differ in number; give one of each an image")
        if not np.isfinite(score).all():
            raise DataError("a score to calibrate on is not a finite number; leave such images out")
        if promise not in get_args(Promise):
            raise OptionError(f"unknown promise {promise!r}; there are: {', '.join(get_args(Promise))}")
        rates = {name: alpha[name] if isinstance(alpha, Mapping) else alpha for name in CLASSES}
        scores = {}
        for name, number in CLASSES.items():
            own = label == number
            scores[name] = np.sort(patient_scores(score[own], group[own], name, promise)[1])
            check_rate(rates[name], len(scores[name]), name)
        return cls({name: float(rate) for name, rate in rates.items()}, scores, promise)

    @property
    def cuts(self) -> dict[str, float]:
        """The score from which an image may be ``anomalous``, and that up to which it may be ``normal``."""
        normal, anomalous = self.scores["normal"], self.scores["anomalous"]
        return {
            "normal": float(normal[len(normal) - self._allowed("normal")]),
            "anomalous": float(anomalous[self._allowed("anomalous") - 1]),
        }

    def _allowed(self, name: str) -> int:
        return _allowed(self.alpha[name], len(self.scores[name]))

    def p_values(self, score: ArrayLike) -> dict[str, Floats]:
        """How usual a score is among each class's patients.

        Parameters
        ----------
        score : (n,) float array
            Of images, or of patients: the largest of their images' scores.

        Returns
        -------
        dict of str to (n,) float64 array
            Class → share of its patients, the new one among them, that are at least as odd; a class is
            plausible where this exceeds its α.
        """
        seen = np.asarray(score, np.float64)
        normal, anomalous = self.scores["normal"], self.scores["anomalous"]
        odder = len(normal) - np.searchsorted(normal, seen, "left")
        lower = np.searchsorted(anomalous, seen, "right")
        return {
            "normal": (odder + 1.0) / (len(normal) + 1),
            "anomalous": (lower + 1.0) / (len(anomalous) + 1),
        }

    def plausible(self, score: ArrayLike) -> dict[str, NDArray[np.bool_]]:
        """Tell for each class where it is plausible; nowhere where a score is not a number."""
        seen, cuts = np.asarray(score, np.float64), self.cuts
        return {"normal": seen <= cuts["normal"], "anomalous": seen >= cuts["anomalous"]}

    def decide(self, score: ArrayLike) -> NDArray[np.str_]:
        """Answer `anomalous`, `normal` or `refer`.

        Parameters
        ----------
        score : (n,) float array
            As for `p_values`.

        Returns
        -------
        (n,) array of str
        """
        may = self.plausible(score)
        sure = np.where(may["anomalous"], "anomalous", "normal")
        return np.where(may["anomalous"] ^ may["normal"], sure, REFER)

    def reason(self, score: float) -> str | None:
        """Say why one score is referred; None where it is decided."""
        may = {name: bool(is_so) for name, is_so in self.plausible(score).items()}
        if may["normal"] != may["anomalous"]:
            return None
        which = "both classes are plausible" if may["normal"] else "neither class is plausible"
        chances = ", ".join(f"{name} p = {float(p):.3f}" for name, p in self.p_values(score).items())
        return f"{which} ({chances})"

    def guarantee(self) -> dict[str, dict[str, float]]:
        """Tell what is promised of each class, and how far one calibration may stray from it; needs SciPy.

        Returns
        -------
        dict of str to dict
            See `error_law`.
        """
        return {name: error_law(len(self.scores[name]), self.alpha[name]) for name in CLASSES}

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON has it."""
        return {
            "promise": self.promise,
            "alpha": self.alpha,
            "scores": {name: values.tolist() for name, values in self.scores.items()},
        }

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Conformal:
        """Read what `to_dict` gave; raises `DataError` if it is not that."""
        try:
            scores = {name: np.asarray(facts["scores"][name], np.float64) for name in CLASSES}
            alpha = {name: float(facts["alpha"][name]) for name in CLASSES}
            promise = facts["promise"]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError("this is not a conformal calibration; make it anew with Conformal.fit") from error
        for name in CLASSES:
            check_rate(alpha[name], len(scores[name]), name)
        return cls(alpha, scores, promise)


def patient_scores(
    score: Floats, group: NDArray[Any], name: str, promise: Promise
) -> tuple[NDArray[Any], Floats]:
    """Give each patient of a class one score.

    Parameters
    ----------
    score, group : (n,) arrays
        Of the class's images.
    name : str
        Of `CLASSES`.
    promise : {"patient", "image"}

    Returns
    -------
    patients : (m,) array
    scores : (m,) float64 array
    """
    patients, member = np.unique(group, return_inverse=True)
    least = promise == "image" and name == "anomalous"
    found = np.full(len(patients), np.inf if least else -np.inf)
    (np.minimum if least else np.maximum).at(found, member, score)
    return patients, found


def check_rate(alpha: float, patients: int, name: str) -> None:
    """Refuse an error rate that so many patients cannot promise.

    Raises
    ------
    OptionError
        If it is not between 0 and 1, or n < 1/α − 1.
    """
    if not 0 < alpha < 1:
        raise OptionError(f"an error rate of {alpha:g} is out of range; choose one above 0 and below 1")
    if _allowed(alpha, patients) < 1:
        needed = math.ceil(1 / alpha - 1 - _ROUNDING)
        way = f"choose at least {_rounded_up(1 / (patients + 1))} or " if patients else ""
        raise OptionError(
            f"an error rate of {alpha:g} needs {needed} {name} patients to calibrate on and there are "
            f"{patients}; {way}bring more images"
        )


def error_law(patients: int, alpha: float) -> dict[str, float]:
    """Tell which error rate a calibration on so many patients will have.

    Over all calibrations it is k / (n + 1), with k the largest whole number up to α (n + 1): at most α. Of
    one calibration it follows Beta(k, n + 1 − k), where scores have no ties; with ties it is smaller.

    Source: Vovk, "Conditional validity of inductive conformal predictors", Machine Learning 92 (2013), prop.
    2.

    Returns
    -------
    dict
        ``alpha``, ``patients``, ``mean`` and, of the Beta law, the 2.5 % and 97.5 % quantiles ``low`` and
        ``high``.
    """
    from scipy.stats import beta

    k = _allowed(alpha, patients)
    low, high = beta.ppf((0.025, 0.975), k, patients + 1 - k)
    return {
        "alpha": alpha,
        "patients": patients,
        "mean": k / (patients + 1),
        "low": float(low),
        "high": float(high),
    }


def _allowed(alpha: float, patients: int) -> int:
    return math.floor(alpha * (patients + 1) + _ROUNDING)


def _rounded_up(value: float) -> str:
    """Write a share with two digits, never below its value."""
    unit = 10.0 ** (math.floor(math.log10(value)) - 1)
    return f"{math.ceil(value / unit - _ROUNDING) * unit:.2g}"
