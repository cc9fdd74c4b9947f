"""Whether the images that come are still like those of training, and how many of them are anomalous.

With numpy alone, in bounded memory: the last few hundred images are held to what a bundle's
``reference.json`` says. Three things are tested: the distribution of the scores, that of the features (where
the representation was not learned from the training images), and the features' mean distance from them; each
at the share of anomalies that suits the new images best, so that fewer or more anomalies of the same kind are
no drift. That share has a test of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.deploy.drift_features import FeatureReference
from raresight.deploy.drift_window import Window
from raresight.deploy.prevalence import Prevalence, estimate_prevalence
from raresight.deploy.scores import ScoreReference, bin_counts

Array = NDArray[Any]

LEVEL = 0.01
"""How often a window of images like those of training raises any alarm, at most."""

ALARMS = ("scores", "features", "distance", "prevalence")

TESTS = len(ALARMS)
FEWEST = 50
"""Images in the window before anything is said."""

EVERY = 25
"""New images after which the status is computed anew, when somebody asks for it."""

TOLERANCE = 0.15
"""Kolmogorov–Smirnov distance that scores may have without alarm. The reference's scores come from twins of
the detector that saw fewer images; its own scores of new images lay up to .12 from them on real sets, without
any drift (svm on 1,000 images)."""

ARRAYS = ("scores", "chances", "measures")

Z = {0.05: 1.959964, LEVEL / TESTS: 3.023341}
"""Two-sided quantiles of the normal distribution."""


class DriftMonitor:
    """Holds the last images to the training images; several threads may use it.

    Parameters
    ----------
    reference : mapping
        ``reference.json`` of a bundle.
    window : int
        Images that are looked at, the last ones.
    prevalence : float, optional
        The share of anomalies that the bundle's probabilities are stated at; by default that of training.
    """

    def __init__(
        self, reference: Mapping[str, Any], window: int = 500, *, prevalence: float | None = None
    ) -> None:
        self._scores = ScoreReference.from_dict(reference["scores"])
        self._edges = self._scores.edges()
        self._features = None if reference.get("drift") is None else FeatureReference(reference)
        self.prevalence = self._scores.share if prevalence is None else prevalence
        self._window = Window.empty(window, 0 if self._features is None else self._features.width)
        self._lock = Lock()
        self._last: tuple[int, dict[str, Any]] | None = None

    def add(self, score: float, probability: float | None, features: Array | None) -> None:
        """Take one more image into account, in constant time.

        Parameters
        ----------
        score : float
            One that is not finite is left out.
        probability : float or None
        features : (d,) float array or None
            As the bundle's graph gives them.
        """
        if not math.isfinite(score):
            return
        measured = None
        if self._features is not None and features is not None:
            measured = self._features.measure(features)
        with self._lock:
            self._window.put(score, math.nan if probability is None else probability, measured)

    def status(self) -> dict[str, Any]:
        """Say how the last images differ from those of training.

        Returns
        -------
        dict
            As JSON has it. ``images`` that were seen, ``window`` of them looked at, ``full_window``; then,
            from `FEWEST` images on (None before): ``scores``: ``ks`` and ``psi`` at the estimated share of
            anomalies, ``p`` of a distance beyond `TOLERANCE`, ``psi_as_trained`` at training's share,
            ``bins`` with their ``edges``, shares ``expected`` and ``found``; ``features`` (None where the
            bundle knows none): ``mmd``, squared and without bias, ``p``, and ``distance``: ``mean``,
            ``expected``, ``z``, ``p``; ``prevalence`` (None where a class is unknown): ``estimate``, ``low``,
            ``high`` (95 %), ``stated``, ``mean_probability``; ``alarms``: each ``name`` and ``sentence``. All
            but ``images`` may lag `EVERY` images behind.
        """
        with self._lock:
            count, last = self._window.count, self._last
            if last is not None and (count == last[0] or (last[0] >= FEWEST and count - last[0] < EVERY)):
                return {**last[1], "images": count}
            window = self._window.filled()
        found = self._examine(window)
        with self._lock:
            self._last = (count, found)
        return found

    def _examine(self, window: Window) -> dict[str, Any]:
        m = len(window.scores)
        found: dict[str, Any] = {
            "images": window.count,
            "window": m,
            "full_window": len(self._window.scores),
            "scores": None,
            "features": None,
            "prevalence": None,
            "alarms": [],
        }
        if m < FEWEST:
            return found
        sure, wide = self._shares(window.scores, 0.05), self._shares(window.scores, LEVEL / TESTS)
        share = self._scores.share if sure is None else sure.estimate
        found["scores"] = self._examine_scores(window.scores, share)
        if sure is not None:
            found["prevalence"] = self._state(sure, window.chances)
        # Scores of no mixture of the two classes say nothing of the share of either.
        lost = wide is None or found["scores"]["p"] < LEVEL / TESTS
        shares = (0.0, 1.0) if wide is None or lost else (wide.low, wide.high)
        found["features"] = self._examine_features(window.measures, shares)
        found["alarms"] = list(self._alarms(found, shares))
        return found

    def _shares(self, scores: Array, level: float) -> Prevalence | None:
        normal, anomalous = self._scores.normal, self._scores.anomalous
        if normal is None or anomalous is None:
            return None
        return estimate_prevalence(scores, normal, anomalous, Z[level])

    def _examine_scores(self, scores: Array, share: float) -> dict[str, Any]:
        distance, p = self._scores.kolmogorov_smirnov(scores, share, TOLERANCE)
        expected = self._scores.bins(share, self._edges)
        counted = bin_counts(scores, self._edges) / len(scores)
        trained = self._scores.stability_index(scores, self._scores.share, self._edges)
        return {
            "ks": distance,
            "p": p,
            "psi": self._scores.stability_index(scores, share, self._edges),
            "psi_as_trained": trained,
            "bins": {
                "edges": self._edges.tolist(),
                "expected": expected.tolist(),
                "found": counted.tolist(),
            },
        }

    def _examine_features(self, measures: Array, shares: tuple[float, float]) -> dict[str, Any] | None:
        if self._features is None:
            return None
        known = measures[np.isfinite(measures).all(axis=1)]
        if len(known) < FEWEST:
            return None
        apart = self._features.differ(known[:, :-1], shares)
        distance = self._features.distance(known[:, -1].astype(np.float64), shares)
        return {"mmd": apart.squared, "p": apart.p, "distance": distance}

    def _state(self, share: Prevalence, chances: Array) -> dict[str, Any]:
        known = chances[np.isfinite(chances)]
        return {
            "estimate": share.estimate,
            "low": share.low,
            "high": share.high,
            "stated": self.prevalence,
            "mean_probability": float(known.mean()) if len(known) else None,
        }

    def _alarms(self, found: Mapping[str, Any], shares: tuple[float, float]) -> Iterator[dict[str, str]]:
        level, last = LEVEL / TESTS, f"the last {found['window']} images"
        scores, features = found["scores"], found["features"]
        if scores["p"] < level:
            yield _alarm(
                "scores",
                f"the scores of {last} are unlike those of training at any share of anomalies; thresholds "
                "and probabilities may not hold for them",
            )
        if features is not None and features["p"] < level:
            yield _alarm(
                "features",
                f"{last} look unlike those of training to the network: another device, organ, protocol or "
                "preparation?",
            )
        if features is not None and features["distance"]["p"] < level:
            farther = features["distance"]["z"] > 0
            side = "farther from the training images" if farther else "nearer to the training images' middle"
            yield _alarm("distance", f"{last} lie {side} than new ones of their kind would")
        if not shares[0] <= self.prevalence <= shares[1]:
            known = found["prevalence"]
            yield _alarm(
                "prevalence",
                f"about {known['estimate']:.1%} of {last} ({known['low']:.1%} to {known['high']:.1%}) seem "
                f"anomalous, and the probabilities are stated for {self.prevalence:.1%}",
            )

    def save(self, path: Path, owner: str) -> None:
        """Write the last images' numbers to a file; `owner` names the bundle. Raises OSError."""
        with self._lock:
            kept = replace(self._window, **{n: getattr(self._window, n).copy() for n in ARRAYS})
        kept.save(path, owner)

    def restore(self, path: Path, owner: str) -> bool:
        """Go on from what `save` wrote for the same bundle and window; tell whether that was there."""
        with self._lock:
            return self._window.restore(path, owner)


def _alarm(name: str, sentence: str) -> dict[str, str]:
    return {"name": name, "sentence": sentence}
