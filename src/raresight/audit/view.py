"""One image as the probes see it: grey levels, what is anatomy, what is border."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from raresight.images.preprocess import DARK

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

_OPENING = 0.015
"""Radius of the opening that parts letters and rulers from the anatomy, as a share of the side."""


@dataclass(frozen=True)
class View:
    """One image of a store.

    Attributes
    ----------
    pixels : (h, w, c) float32 array
        0 … 1; c is 1 or 3.
    """

    pixels: Floats

    @classmethod
    def of(cls, image: NDArray[Any]) -> View:
        """Take a (h, w, c) uint8 or uint16 image."""
        return cls(image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max))

    @cached_property
    def grey(self) -> Floats:
        """(h, w) the brightest channel, which a fundus' dark red edge needs."""
        return np.asarray(self.pixels.max(axis=2))

    @cached_property
    def bright(self) -> Bools:
        """(h, w) what is brighter than background."""
        top = float(np.percentile(self.grey, 99.5))
        return np.asarray(self.grey > DARK * top) if top > 0 else np.zeros(self.grey.shape, bool)

    @cached_property
    def border(self) -> Bools:
        """(h, w) the dark region that reaches the frame, padding included."""
        regions, _ = ndimage.label(~self.bright)
        edges = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
        return np.asarray(np.isin(regions, np.unique(edges[edges > 0])))

    @cached_property
    def anatomy(self) -> Bools:
        """(h, w) the largest bright region, its holes filled and its rim included: the head, the disc."""
        reach = max(1, round(_OPENING * min(self.grey.shape)))
        opened = ndimage.binary_opening(self.bright, iterations=reach, border_value=0)
        # Opening eats the frame's own edge, where an anatomy that fills the image ends.
        regions, count = ndimage.label(opened)
        if not count:
            return np.zeros(self.grey.shape, bool)
        largest = regions == 1 + np.argmax(np.bincount(regions.ravel())[1:])
        filled = ndimage.binary_fill_holes(largest)
        return np.asarray(ndimage.binary_dilation(filled, iterations=2 * reach))

    @cached_property
    def outside(self) -> Bools:
        """(h, w) what is not anatomy."""
        return ~self.anatomy
