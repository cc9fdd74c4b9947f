"""One image as the probes see it: grey levels, what is anatomy, what is border."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from raresight.images.anatomy import anatomy_mask
from raresight.images.preprocess import DARK

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

_RIM = 0.03
"""Width of the anatomy's blurred rim, as a share of the side, which counts as anatomy."""


@dataclass(frozen=True)
class View:
    """One image of a store.

    Attributes
    ----------
    image : (h, w, c) uint8 or uint16 array
        c is 1 or 3.
    preset : str or None
        Modality; see `Preprocess`.
    """

    image: NDArray[Any]
    preset: str | None = None

    @cached_property
    def pixels(self) -> Floats:
        """(h, w, c) from 0 to 1."""
        return np.asarray(self.image, np.float32) / np.float32(np.iinfo(self.image.dtype).max)

    @cached_property
    def grey(self) -> Floats:
        """(h, w) the brightest channel, which a fundus' dark red edge needs."""
        # Channel by channel: numpy is ten times slower along a short last axis.
        brightest = np.maximum.reduce([self.image[..., c] for c in range(self.image.shape[2])])
        return np.asarray(brightest, np.float32) / np.float32(np.iinfo(self.image.dtype).max)

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
        """(h, w) the head or the disc, its rim included; everything where nothing can be told apart."""
        image = self.image[..., 0] if self.image.shape[2] == 1 else self.image
        found = anatomy_mask(image, self.preset)
        width = max(1, round(_RIM * min(found.shape)))
        return np.asarray(ndimage.binary_dilation(found, iterations=width))

    @cached_property
    def outside(self) -> Bools:
        """(h, w) what is not anatomy."""
        return ~self.anatomy
