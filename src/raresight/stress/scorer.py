"""The seam between stress and whatever scores images: a fold's fitted recipe, or a bundle."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raresight.experiment.recipe import FittedRecipe
from raresight.stress.corruptions import Condition, corrupt_images

BLOCK = 256
"""Images corrupted at once: no step holds a second copy of the set."""

Scores = tuple[NDArray[np.float64], NDArray[np.float64]]
"""(n,) scores, higher = more anomalous, and (n,) probabilities, NaN where there is none."""


class Scorer(Protocol):
    """Anything that scores images as a store has them; that is all stress needs to know of a detector."""

    def score(self, pixels: NDArray[Any]) -> Scores:
        """Score (n, s, s, channels) uint8 or uint16 images."""
        ...


@dataclass(frozen=True)
class FoldScorer:
    """A fold's fitted recipe as a `Scorer`; its probabilities are the detector's own, not calibrated.

    Parameters
    ----------
    fitted : FittedRecipe
    """

    fitted: FittedRecipe

    def score(self, pixels: NDArray[Any]) -> Scores:
        """Score images that are in no store."""
        return self.score_seen(self.fitted.space.of(pixels))

    def score_seen(self, features: NDArray[Any]) -> Scores:
        """Score rows in the recipe's representation, before its scaler."""
        scaler = self.fitted.scaler
        return self.fitted.predict_seen(features if scaler is None else scaler.transform(features))


def score_condition(scorer: Scorer, images: NDArray[Any], condition: Condition, seed: int = 0) -> Scores:
    """Corrupt (n, s, s, channels) images, a block at a time, and score them."""
    parts = [
        scorer.score(corrupt_images(images[start : start + BLOCK], condition, seed))
        for start in range(0, len(images), BLOCK)
    ]
    return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])


def stress_scorer(
    scorer: Scorer,
    images: NDArray[Any],
    labels: NDArray[Any],
    groups: NDArray[Any],
    conditions: Sequence[Condition],
    *,
    name: str = "detector",
    seed: int = 0,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Score images clean and under every condition by one scorer that has not learned from them.

    Parameters
    ----------
    scorer : Scorer
    images : (n, s, s, channels) uint8 or uint16 array
        As the scorer takes them.
    labels : (n,) array
        1 = anomalous.
    groups : (n,) array
        Patients.
    conditions : sequence of Condition
    name : str
        What the scorer is called.
    seed : int

    Returns
    -------
    clean, corrupted : pandas.DataFrame
        What `raresight.evidence.stressed.summarise_stress` takes, one repeat and one fold.
    """
    known = {
        "recipe": name,
        "repeat": 0,
        "fold": 0,
        "row": np.arange(len(images)),
        "file": [str(row) for row in range(len(images))],
        "group": np.asarray(groups).astype(str),
        "label": np.asarray(labels, np.int64),
    }

    def frames() -> Iterator[pd.DataFrame]:
        for condition in conditions:
            score, probability = score_condition(scorer, images, condition, seed)
            yield pd.DataFrame(
                {
                    **known,
                    "score": score,
                    "probability": probability,
                    "corruption": condition.corruption,
                    "severity": condition.severity,
                }
            )

    clean = [scorer.score(images[start : start + BLOCK]) for start in range(0, len(images), BLOCK)]
    score, probability = (np.concatenate([part[i] for part in clean]) for i in (0, 1))
    return pd.DataFrame({**known, "score": score, "probability": probability}), pd.concat(
        frames(), ignore_index=True
    )
