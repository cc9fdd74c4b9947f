"""The training cases nearest to a new image, from what a bundle holds, with numpy alone.

Images are compared by their features along the principal axes of the training set's, each divided by its
standard deviation there. Source: Mahalanobis, "On the generalised distance in statistics", 1936.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

CASES = "cases.json"
REFERENCE = "reference.json"
EXAMPLES = "examples.json"


class Axes:
    """Principal axes, opened.

    Parameters
    ----------
    statistics : mapping
        See `raresight.deploy.reference.feature_statistics`.
    """

    def __init__(self, statistics: Mapping[str, Any]) -> None:
        self._mean = np.asarray(statistics["mean"], np.float64)
        spread = np.sqrt(np.asarray(statistics["variances"], np.float64))
        axes = np.asarray(statistics["axes"], np.float64).reshape(len(spread), len(self._mean))
        self._axes = axes / spread[:, None]

    def place(self, features: Array) -> NDArray[np.float64]:
        """Give (n, d) features by their (n, k) whitened coordinates."""
        found: NDArray[np.float64] = (features.astype(np.float64) - self._mean) @ self._axes.T
        return found


@dataclass(frozen=True, slots=True)
class Case:
    """A training case.

    Attributes
    ----------
    id : str
        Opaque: ``case-017``.
    label : str
    distance : float
        1 is as far as two training images are from each other, in the root of the mean of squares.
    picture : bytes or None
        A PNG file, where the bundle has pictures.
    """

    id: str
    label: str
    distance: float
    picture: bytes | None


class Nearest:
    """A bundle's training cases.

    Parameters
    ----------
    files : mapping of str to bytes
        The bundle's files. A bundle that keeps no cases has none that are near.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        listed = json.loads(files.get(CASES, b"[]"))
        self._known = [(str(case["id"]), str(case["label"])) for case in listed]
        self._at = np.array([case["at"] for case in listed], np.float64)
        self._axes = Axes(json.loads(files[REFERENCE])["features"]) if listed else None
        pictured = json.loads(files.get(EXAMPLES, b"[]")) if listed else []
        self._pictures = {each["id"]: files[each["file"]] for each in pictured if "id" in each}

    def __len__(self) -> int:
        return len(self._known)

    def find(self, features: Array | None, count: int = 6) -> list[Case]:
        """Give the nearest cases, nearest first; none where there are none to compare with.

        Parameters
        ----------
        features : (d,) array or None
            What the bundle's graph makes of the new image.
        count : int
            At most.
        """
        if features is None or self._axes is None:
            return []
        place = self._axes.place(features[None])
        # Two independent cases are 2k apart, squared, in the mean over k whitened axes.
        distances = np.sqrt(((self._at - place) ** 2).sum(axis=1) / (2 * self._at.shape[1]))
        found = np.argsort(distances, kind="stable")[:count]
        return [
            Case(id, label, float(distances[row]), self._pictures.get(id))
            for row, (id, label) in ((row, self._known[row]) for row in found)
        ]
