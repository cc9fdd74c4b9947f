"""Is this image like those the detector was trained on? If not, it is referred rather than scored.

Two looks. What the image is like before any network sees it (`raresight.explain.quality`: size, shape,
colour, contrast, sharpness …) must lie in the range of the training images or little beyond it. And its
embedding must lie as near to theirs as they do to each other: the cut is a conformal quantile of the
distances of training patients from a reference that was made without them, so that a new patient with images
of the same kind is referred for it at most at the chosen rate.

Only numpy is imported, so that a bundle can carry and ask a `Novelty` where nothing else is installed.

Source: Bates, Candès, Lei, Romano & Sesia, "Testing for outliers with conformal p-values", Annals of
Statistics 51 (2023); the distance: see `raresight.explain.reference`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raresight.errors import DataError, OptionError
from raresight.explain.quality import Image, measure_image
from raresight.explain.reference import Floats, Reference

RATE = 0.01
"""Share of new patients of the same kind that may be referred for their distance."""

FOLDS = 5
"""Parts of the patients; the distances of each come from a reference without it."""

TRIM = 0.002
"""Share of training images that may lie beyond either end of a range: a set has odd ones of its own."""

MARGINS: dict[str, tuple[float, float]] = {
    "side": (1.0, math.inf),
    "shape": (0.5, 0.5),
    "brightness": (0.1, 0.1),
    "colour": (0.06, 0.06),
    "contrast": (1.0, 1.0),
    "sharpness": (0.5, 0.5),
    "white": (math.inf, 0.1),
    "levels": (0.75, 0.75),
}
"""What is measured → how far below and above the training images' range an image may still lie."""

REASONS: dict[str, tuple[str, str]] = {
    "side": ("far smaller than the training images", ""),
    "shape": ("far taller than the training images", "far wider than the training images"),
    "brightness": ("far darker than the training images", "far lighter than the training images"),
    "colour": ("grey, and the training images are coloured", "coloured otherwise than the training images"),
    "contrast": ("blank, or nearly so", "harsher in contrast than the training images"),
    "sharpness": ("more blurred than the training images", "noisier than the training images"),
    "white": ("", "overexposed: of more white than the training images"),
    "levels": ("of fewer grey levels than the training images", "of more grey levels than those"),
}
"""What is measured → what is said of an image that lies below or above the range."""

FAR = "unlike the training images to the network's eye"


@dataclass(frozen=True)
class Novelty:
    """What the training images are like; made by `Novelty.fit`.

    Attributes
    ----------
    ranges : dict of str to (float, float)
        What is measured → least and most that pass, margins included.
    reference : Reference or None
    cut : float
        Largest distance that passes.
    rate : float
        Share of new patients of the same kind that the cut refers, at most.
    """

    ranges: dict[str, tuple[float, float]]
    reference: Reference | None = None
    cut: float = math.inf
    rate: float = RATE

    @classmethod
    def fit(
        cls,
        measures: Sequence[Mapping[str, float]],
        embeddings: NDArray[Any] | None = None,
        group: ArrayLike | None = None,
        *,
        rate: float = RATE,
        seed: int = 0,
    ) -> Novelty:
        """Learn what training images are like.

        Parameters
        ----------
        measures : sequence of n mappings
            From `raresight.explain.quality.measure_image`.
        embeddings : (n, features) float array, optional
            Without them only what is measured counts.
        group : (n,) array, optional
            The patient of each image; by default each image is one.
        rate : float
        seed : int
            Of the parts that the patients are dealt to.

        Raises
        ------
        OptionError
            If the rate is out of range, or too small for the patients there are.
        DataError
            If there are too few images.
        """
        if not len(measures):
            raise DataError("there is no image to learn from")
        ranges = {name: _range(np.array([each[name] for each in measures]), name) for name in MARGINS}
        if embeddings is None:
            return cls(ranges, rate=rate)
        names = np.arange(len(embeddings)) if group is None else np.asarray(group)
        cut = _cut(_held_out_distances(embeddings, names, seed), rate)
        return cls(ranges, Reference.fit(embeddings), cut, rate)

    def distance(self, embeddings: NDArray[Any]) -> Floats:
        """Give (n,) distances of (n, features) embeddings from the training images'; `cut` is the most."""
        if self.reference is None:
            raise DataError("this novelty knows no embedding; fit it with some")
        return self.reference.distance(embeddings)

    def reasons(self, image: Image, embedding: ArrayLike | None = None) -> list[str]:
        """Say why an image is to be referred.

        Parameters
        ----------
        image : (h, w) or (h, w, 3) uint8 or uint16 array
            As it was read, before preprocessing.
        embedding : (features,) float array, optional
            Of the preprocessed image, as the training images' were made.

        Returns
        -------
        list of str
            Each completes "the image is …"; none, if it is like the training images.

        Raises
        ------
        ImageError
            If the image cannot be measured.
        """
        found = self.reasons_measured(measure_image(image))
        if embedding is not None and self.reference is not None:
            far = self.distance(np.atleast_2d(np.asarray(embedding)))[0] > self.cut
            found += [FAR] if far else []
        return found

    def reasons_measured(self, measures: Mapping[str, float]) -> list[str]:
        """Say what of an image's measures lies outside its range."""
        found = []
        for name, (low, high) in self.ranges.items():
            below, above = REASONS[name]
            if not low <= measures[name] <= high:
                found.append(below if measures[name] < low else above)
        return found

    def to_dict(self) -> dict[str, Any]:
        """Give everything as JSON has it; an open end of a range is null."""
        ends = {n: [None if math.isinf(end) else end for end in both] for n, both in self.ranges.items()}
        known = None if self.reference is None else self.reference.to_dict()
        cut = None if known is None else self.cut
        return {"rate": self.rate, "ranges": ends, "cut": cut, "reference": known}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Novelty:
        """Read what `to_dict` gave; raises `DataError` if it is not that."""
        try:
            pairs = {name: facts["ranges"][name] for name in MARGINS}
            ranges = {
                name: (-math.inf if low is None else float(low), math.inf if high is None else float(high))
                for name, (low, high) in pairs.items()
            }
            known = facts["reference"]
            if known is None:
                return cls(ranges, rate=float(facts["rate"]))
            return cls(ranges, Reference.from_dict(known), float(facts["cut"]), float(facts["rate"]))
        except (KeyError, TypeError, ValueError) as error:
            raise DataError("this is no record of what training images are like; make it anew") from error


def _range(values: Floats, name: str) -> tuple[float, float]:
    below, above = MARGINS[name]
    low, high = np.quantile(values, [TRIM, 1 - TRIM])
    return float(low) - below, float(high) + above


def _held_out_distances(embeddings: NDArray[Any], group: NDArray[Any], seed: int) -> Floats:
    """Give each patient's largest distance from a reference made without the patient."""
    patients, member = np.unique(group, return_inverse=True)
    part = np.random.default_rng(seed).permutation(len(patients))[member] % min(FOLDS, max(2, len(patients)))
    distance = np.empty(len(embeddings))
    for number in np.unique(part):
        held = part == number
        distance[held] = Reference.fit(embeddings[~held]).distance(embeddings[held])
    found = np.full(len(patients), -np.inf)
    np.maximum.at(found, member, distance)
    return found


def _cut(distance: Floats, rate: float) -> float:
    """Find the distance that a new patient exceeds with at most the rate's chance.

    Raises
    ------
    OptionError
        If the rate is out of range, or n < 1/rate − 1.
    """
    if not 0 < rate < 1:
        raise OptionError(f"a referral rate of {rate:g} is out of range; choose one above 0 and below 1")
    allowed = math.floor(rate * (len(distance) + 1) + 1e-9)
    if allowed < 1:
        raise OptionError(
            f"a referral rate of {rate:g} needs {math.ceil(1 / rate - 1 - 1e-9)} patients and there are "
            f"{len(distance)}; choose a larger rate or bring more images"
        )
    return float(np.sort(distance)[len(distance) - allowed])
