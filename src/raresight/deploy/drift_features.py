"""Features held to those of the training images, class by class; with numpy alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.deploy.kernel import Discrepancy, Waves, discrepancy
from raresight.explain.reference import Reference

Array = NDArray[Any]

CLASSES = ("normal", "anomalous")


AXES = 8
"""Principal axes that distances know, at most, and never more than one for `PER_AXIS` images: along more of
them, new images would seem far because the axes were made for the old ones."""

PER_AXIS = 20


def feature_reference(known: Mapping[str, Any]) -> Reference:
    """Open what `raresight.deploy.reference.feature_statistics` gave, its largest axes alone."""
    mean = np.asarray(known["mean"], np.float32)
    variances = np.asarray(known["variances"], np.float64)
    k, d = min(AXES, len(variances), max(1, int(known["n"]) // PER_AXIS)), len(mean)
    outside = float(variances[k:].sum()) + float(known["rest"]) * (d - len(variances))
    floor = max(outside / max(1, d - k), 1e-9)
    axes = np.asarray(known["axes"][:k], np.float32).reshape(k, d)
    scale = np.sqrt(np.maximum(variances[:k], floor)).astype(np.float32)
    return Reference(mean, axes.T, scale, math.sqrt(floor))


class FeatureReference:
    """What the training images' features were like, class by class.

    Parameters
    ----------
    reference : mapping
        ``reference.json``, its ``features`` and ``drift`` not None.
    """

    def __init__(self, reference: Mapping[str, Any]) -> None:
        known = reference["drift"]
        self.space = feature_reference(reference["features"])
        self.waves = Waves(len(self.space.mean), float(known["width"]), int(known["frequencies"]))
        self.classes = [known["classes"][name] for name in CLASSES if name in known["classes"]]

    @property
    def width(self) -> int:
        """Numbers that are kept of an image: its waves, and its distance."""
        return 2 * self.waves.count + 1

    def measure(self, features: Array) -> Array:
        """Give what is kept of (d,) features: (width,) float32."""
        rows = np.asarray(features, np.float32)[None]
        return np.append(self.waves(rows)[0], self.space.distance(rows)[0]).astype(np.float32)

    def differ(self, waves: Array, shares: tuple[float, float]) -> Discrepancy:
        """Hold (m, w) waves to the classes' means; see `raresight.deploy.kernel.discrepancy`."""
        means = [np.asarray(c["waves"], np.float64) for c in self.classes]
        sizes, crowding = [float(c["independent"]) for c in self.classes], self._crowding
        if len(means) == 1:
            return discrepancy(waves, means[0], None, (sizes[0], 0), (crowding[0], 1.0), (0.0, 0.0))
        return discrepancy(
            waves, means[0], means[1], (sizes[0], sizes[1]), (crowding[0], crowding[1]), shares
        )

    def distance(self, found: Array, shares: tuple[float, float]) -> dict[str, float]:
        """Hold the mean of (m,) distances to the classes' means, at the share that suits best."""
        means = np.array([c["distance"]["mean"] for c in self.classes])
        errors = np.array([c["distance"]["deviation"] / math.sqrt(c["independent"]) for c in self.classes])
        share, mean = np.ones(1), float(found.mean())
        if len(means) == 2:
            across = means[1] - means[0]
            best = (mean - means[0]) / across if abs(across) > 1e-12 else shares[0]
            right = float(np.clip(best, *shares))
            share = np.array([1 - right, right])
        own = len(found) / float(share @ self._crowding)
        error = math.sqrt(float(found.var()) / own + float(((share * errors) ** 2).sum()))
        z = (mean - float(share @ means)) / max(error, 1e-12)
        return {
            "mean": mean,
            "expected": float(share @ means),
            "z": z,
            "p": math.erfc(abs(z) / math.sqrt(2)),
        }

    @property
    def _crowding(self) -> list[float]:
        return [float(c["crowding"]) for c in self.classes]
