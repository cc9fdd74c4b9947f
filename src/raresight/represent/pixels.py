"""The image itself, made smaller."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.errors import OptionError
from raresight.images.store import ImageStore

BLOCK = 256


class Pixels:
    """Every image reduced by averaging squares of pixels.

    Parameters
    ----------
    size : int
        Side in pixels; must divide the store's.
    """

    learned = False

    def __init__(self, size: int = 112) -> None:
        self.size = size

    def fit(self, store: ImageStore, rows: NDArray[np.int64]) -> Pixels:
        """Learn nothing."""
        return self

    def transform(self, store: ImageStore, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Give (len(rows), size, size, c) pixels of the store's dtype."""
        side = store.preprocess.size
        if self.size > side or side % self.size:
            raise OptionError(
                f"pixels[size={self.size}] does not divide --size {side}; choose {side}, {side // 2}, …"
            )
        if self.size == side:
            return store.pixels[rows]
        return self.whole(store)[rows]

    def of(self, images: NDArray[Any]) -> NDArray[Any]:
        """Represent (n, s, s, c) images of a store's size that are not in a store."""
        return images if images.shape[1] == self.size else reduce_pixels(images, self.size)

    def whole(self, store: ImageStore) -> NDArray[Any]:
        """Give the reduced pixels of every image, memory-mapped."""
        return store.derived(f"pixels-{self.size}", lambda: reduce_pixels(store.pixels, self.size))


def reduce_pixels(pixels: NDArray[Any], size: int) -> NDArray[Any]:
    """Average squares of (n, s, s, c) pixels down to (n, size, size, c), rounded."""
    factor = pixels.shape[1] // size
    small = np.empty((len(pixels), size, size, pixels.shape[3]), pixels.dtype)
    for start in range(0, len(pixels), BLOCK):
        block = pixels[start : start + BLOCK]
        cells = block.reshape(len(block), size, factor, size, factor, -1)
        small[start : start + BLOCK] = np.rint(cells.mean(axis=(2, 4), dtype=np.float32))
    return small
