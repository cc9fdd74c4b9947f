"""The image itself, made smaller."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from raresight.errors import OptionError
from raresight.images.store import ImageStore
from raresight.progress import Progress, silent

BLOCK = 256

COLOURED_PIXEL = 16
"""Difference between channels (of 255) from which a pixel is coloured."""

COLOURED_SHARE = 0.1
"""Share of coloured images from which ``colour="auto"`` keeps colour; below it, a few are odd ones out."""

LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Weights of red, green and blue (ITU-R BT.601)."""


class Pixels:
    """Every image reduced by averaging squares of pixels.

    Parameters
    ----------
    size : int
        Side in pixels; must divide the store's.
    colour : {"auto", "keep", "grey"}
        What becomes of a colour store: ``"auto"`` turns it grey where fewer than a tenth of its images
        are coloured.
    """

    learned = False

    def __init__(self, size: int = 112, colour: str = "auto") -> None:
        if colour not in ("auto", "keep", "grey"):
            raise OptionError(f"unknown pixels[colour={colour}]; choose auto, keep or grey")
        self.size, self.colour = size, colour

    def fit(self, store: ImageStore, rows: NDArray[np.int64]) -> Self:
        """Settle whether the set is seen in colour; nothing is learned from a label or a split."""
        self.grey_ = self._grey(store)
        return self

    def transform(self, store: ImageStore, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Give (len(rows), size, size, c) pixels of the store's dtype."""
        return self.whole(store)[rows]

    def of(self, images: NDArray[Any]) -> NDArray[Any]:
        """Represent (n, s, s, c) images of a store's size that are not in a store."""
        seen = grey_pixels(images) if self.grey_ else images
        return seen if images.shape[1] == self.size else reduce_pixels(seen, self.size)

    def whole(self, store: ImageStore, progress: Progress = silent) -> NDArray[Any]:
        """Give the reduced pixels of every image, memory-mapped."""
        side = store.preprocess.size
        if self.size > side or side % self.size:
            raise OptionError(
                f"pixels[size={self.size}] does not divide --size {side}; choose {side}, {side // 2}, …"
            )
        self.grey_ = self._grey(store)
        if self.size == side and not self.grey_:
            return store.pixels
        return store.derived(
            f"pixels-{self.size}-{'grey' if self.grey_ else 'kept'}", lambda: self._reduced(store.pixels)
        )

    def graph(self, shape: tuple[int, ...], dtype: DTypeLike) -> list[Any]:
        """Give ONNX graphs from (n, *shape) stored pixels to the rows; none where they are the same."""
        from raresight.represent.graphs import reduced_graph

        if self.size == shape[0] and not self.grey_:
            return []
        return [reduced_graph(shape, dtype, self.size, LUMINANCE if self.grey_ else None)]

    def _reduced(self, pixels: NDArray[Any]) -> NDArray[Any]:
        channels = 1 if self.grey_ else pixels.shape[3]
        small = np.empty((len(pixels), self.size, self.size, channels), pixels.dtype)
        for start in range(0, len(pixels), BLOCK):
            small[start : start + BLOCK] = self.of(pixels[start : start + BLOCK])
        return small

    def _grey(self, store: ImageStore) -> bool:
        if store.pixels.shape[3] == 1 or self.colour == "keep":
            return False
        if self.colour == "grey":
            return True
        coloured = store.derived("coloured", lambda: coloured_images(store.pixels))
        return bool(coloured.mean() < COLOURED_SHARE)


def reduce_pixels(pixels: NDArray[Any], size: int) -> NDArray[Any]:
    """Average squares of (n, s, s, c) pixels down to (n, size, size, c), rounded."""
    factor = pixels.shape[1] // size
    cells = pixels.reshape(len(pixels), size, factor, size, factor, -1)
    small: NDArray[Any] = np.rint(cells.mean(axis=(2, 4), dtype=np.float32)).astype(pixels.dtype)
    return small


def grey_pixels(pixels: NDArray[Any]) -> NDArray[Any]:
    """Turn (n, s, s, 3) pixels into their luminance, (n, s, s, 1), rounded."""
    grey: NDArray[Any] = np.rint(pixels @ LUMINANCE).astype(pixels.dtype)
    return grey[..., None]


def coloured_images(pixels: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell which of (n, s, s, 3) images have a coloured pixel, (n,)."""
    level = COLOURED_PIXEL * (257 if pixels.dtype == np.uint16 else 1)
    coloured = np.empty(len(pixels), bool)
    for row, image in enumerate(pixels):
        coloured[row] = (image.max(axis=2) - image.min(axis=2)).max() > level
    return coloured
