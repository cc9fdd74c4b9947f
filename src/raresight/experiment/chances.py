"""From scores to probabilities of an anomaly, at the share of anomalies that they are stated for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.evidence.calibration import CALIBRATIONS, UNCALIBRATED
from raresight.evidence.prevalence import prior_correction
from raresight.experiment.inner import InnerScores
from raresight.experiment.recipe import FittedRecipe


@dataclass(frozen=True, slots=True)
class Chances:
    """From scores to probabilities at the set's own prevalence.

    Attributes
    ----------
    calibrator : Calibrator or None
        None: the detector's own probability is taken.
    learned_at : float
        Share of anomalies that the calibrator, or the detector, knows; NaN where no anomaly is known.
    prevalence : float
        Share of anomalies for which probabilities are stated.
    """

    calibrator: Any
    learned_at: float
    prevalence: float

    @classmethod
    def learn(cls, fitted: FittedRecipe, inner: InnerScores, method: str, prevalence: float) -> Chances:
        """Learn from scores of rows that the detector did not see."""
        if method == UNCALIBRATED:
            return cls(None, fitted.seen_prevalence, prevalence)
        if len(np.unique(inner.label)) < 2:
            return cls(None, float("nan"), prevalence)  # no anomaly is known: a score is all there is
        calibrator = CALIBRATIONS[method].load()().fit(inner.score, inner.label)
        return cls(calibrator, float(inner.label.mean()), prevalence)

    def columns(self, score: NDArray[np.float64], raw: NDArray[np.float64]) -> dict[str, Any]:
        """Give the columns of a prediction."""
        return {"score": score, "probability_raw": raw, "probability": self.of(score, raw)}

    def of(self, score: NDArray[np.float64], raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give (n,) probabilities from scores and the detector's own; NaN where there are none."""
        if np.isnan(self.learned_at):
            return np.full(len(score), np.nan)
        found = raw if self.calibrator is None else self.calibrator.predict(score)
        return prior_correction(found, self.learned_at, self.prevalence)
