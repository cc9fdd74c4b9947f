"""Labels that are probably wrong: confident learning on out-of-fold probabilities.

Source: Northcutt, Jiang & Chuang, "Confident learning: estimating uncertainty in dataset labels", Journal of
Artificial Intelligence Research 70 (2021), as cleanlab implements it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class LabelError:
    """An image whose label is probably wrong.

    Attributes
    ----------
    row : int
    suggested : str
        The class that a model which never saw the image finds most probable.
    quality : float
        0 … 1: probability of its own label less that of the best other one, scaled; lower is worse.
    """

    row: int
    suggested: str
    quality: float

    def as_dict(self) -> dict[str, Any]:
        """Give what ``--json`` shows beside file and label."""
        return {"suggested": self.suggested, "quality": round(self.quality, 4)}


def find_label_errors(
    y: NDArray[np.int64], probability: NDArray[np.float64], classes: Sequence[str]
) -> list[LabelError]:
    """List the images whose labels are probably wrong, the worst first.

    Parameters
    ----------
    y : (n,) int64 array
        Given classes, 0 … k − 1.
    probability : (n, k) float64 array
        Out-of-fold and calibrated; rows sum to 1.
    classes : sequence of str
        Names of the classes.
    """
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    # One process: on thousands of rows its pool takes longer than the work.
    wrong = find_label_issues(y, probability, filter_by="both", n_jobs=1)
    quality = get_label_quality_scores(y, probability, method="normalized_margin")
    rows = np.flatnonzero(wrong)
    rows = rows[np.argsort(quality[rows], kind="stable")]
    other = probability.copy()
    other[np.arange(len(y)), y] = -1
    suggested = other.argmax(axis=1)
    return [LabelError(int(r), classes[suggested[r]], float(quality[r])) for r in rows]
