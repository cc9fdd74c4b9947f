"""Corruptions at five severities, applied to images as detectors see them: on the store's canvas.

They come after preprocessing and resizing, so that a severity means the same on every set, whatever the
files' size, and so that a stored image need not be decoded again. Two things follow. The black that
letterboxing adds is corrupted too. And a crop or a rotation is not undone by a preset that centres the
anatomy, as it might be in use: read those two as an upper limit.

A corruption is a pure function of image, severity and seed. What is random in it (where a square falls, which
way an image is turned) is drawn from the seed and the image's own content, so an image suffers the same
wherever it stands in a set; and it is drawn alike for all severities, so a higher one goes further in the
same direction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.errors import OptionError
from raresight.stress import CORRUPTIONS

Image = NDArray[np.float32]
"""(h, w, channels), 0 … 1."""

SEVERITIES = (1, 2, 3, 4, 5)
REFERENCE = 224
"""Side in pixels at which widths and radii in pixels are stated; they grow with the canvas."""


@dataclass(frozen=True, slots=True)
class Corruption:
    """What is done to an image, and how much of it at each severity.

    Attributes
    ----------
    apply : callable
        (image, strength, random) → image; the image is (h, w, channels) float32 of 0 … 1, and what comes out
        may leave that range and is clipped.
    strengths : tuple of five float
        Of severity 1 to 5.
    unit : str
        What a strength is, in words.
    modality : str
        The preset (``mri``, ``fundus``) whose images suffer so; empty: any.
    """

    apply: Callable[[Image, float, np.random.Generator], Image]
    strengths: tuple[float, float, float, float, float]
    unit: str
    modality: str = ""


@dataclass(frozen=True, slots=True, order=True)
class Condition:
    """A corruption at a severity; severity 0 of whatever name leaves images as they are."""

    corruption: str
    severity: int

    def __str__(self) -> str:
        return f"{self.corruption}-{self.severity}"


def corrupt(image: NDArray[Any], corruption: str, severity: int, seed: int = 0) -> NDArray[Any]:
    """Corrupt one image.

    Parameters
    ----------
    image : (h, w, channels) uint8 or uint16 array
    corruption : str
        Of `raresight.stress.CORRUPTIONS`.
    severity : int
        1 to 5; 0 gives the image back as it is.
    seed : int
        The same seed, image, corruption and severity give the same result.

    Returns
    -------
    (h, w, channels) array of the same dtype

    Raises
    ------
    OptionError
        If the corruption or the severity is unknown.
    """
    found: Corruption = CORRUPTIONS[corruption].load()
    check_severities([severity] if severity else [])
    if severity == 0:
        return image.copy()
    top = np.float32(np.iinfo(image.dtype).max)
    changed = found.apply(
        image.astype(np.float32) / top, found.strengths[severity - 1], _random(image, corruption, seed)
    )
    scaled: NDArray[Any] = np.rint(np.clip(changed, 0, 1) * top).astype(image.dtype)
    return scaled


def corrupt_images(images: NDArray[Any], condition: Condition, seed: int = 0) -> NDArray[Any]:
    """Corrupt (n, h, w, channels) images one by one; see `corrupt`."""
    found = np.empty_like(images)
    for row, image in enumerate(images):
        found[row] = corrupt(np.asarray(image), condition.corruption, condition.severity, seed)
    return found


def _random(image: NDArray[Any], corruption: str, seed: int) -> np.random.Generator:
    """Draw from the seed, the corruption and the image's content, and not from the severity."""
    digest = hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=8, key=corruption.encode())
    return np.random.default_rng((seed, int.from_bytes(digest.digest(), "big")))


def default_corruptions(preset: str | None) -> tuple[str, ...]:
    """Name the corruptions that an image of a modality may suffer.

    Parameters
    ----------
    preset : str or None
        What ``--preprocess`` names; without it, those that any image may suffer.
    """
    known = {name: entry.load().modality for name, entry in CORRUPTIONS.items()}
    return tuple(name for name, modality in known.items() if modality in ("", preset))


def check_severities(severities: Sequence[int]) -> tuple[int, ...]:
    """Give severities in order, without repetition.

    Raises
    ------
    OptionError
        If one is not 1 to 5.
    """
    for severity in severities:
        if severity not in SEVERITIES:
            raise OptionError(f"severity {severity} is out of range; write 1 to 5, for example 1,3,5")
    return tuple(sorted(set(severities)))


def conditions_of(corruptions: Sequence[str], severities: Sequence[int]) -> tuple[Condition, ...]:
    """Cross corruptions with severities, in the order given.

    Raises
    ------
    OptionError
        If there is none of either, or one is unknown.
    """
    names = list(dict.fromkeys(corruptions))
    for name in names:
        _ = CORRUPTIONS[name]
    if not names or not severities:
        raise OptionError(
            "name at least one corruption and one severity, for example --corruptions blur --severities 1,3,5"
        )
    return tuple(Condition(name, severity) for name in names for severity in check_severities(severities))
