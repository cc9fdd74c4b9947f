"""Pixels on their principal components."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from sklearn.decomposition import PCA

from raresight.images.store import ImageStore
from raresight.represent.pixels import Pixels

SMALLEST = 1e-6
"""Share of the first component's variance below which a component is left out."""


class PrincipalComponents:
    """Principal components of the pixels, learned from the training rows alone.

    Source: Jolliffe & Cadima, "Principal component analysis: a review", Phil. Trans. R. Soc. A 374 (2016).

    Parameters
    ----------
    components : int
        How many, at most; fewer where there are fewer training rows.
    size : int
        Side of the pixels, see `Pixels`.
    """

    learned = True

    def __init__(self, components: int = 100, size: int = 56) -> None:
        self.components, self.size = components, size

    def fit(self, store: ImageStore, rows: NDArray[np.int64]) -> PrincipalComponents:
        """Find the components of some rows."""
        self.pixels_ = Pixels(self.size).fit(store, rows)
        flat = self._flat(store, rows)
        count = min(self.components, *flat.shape)
        self.pca_ = PCA(count, svd_solver="randomized", random_state=0).fit(flat)
        # Of n rows, or of fewer that differ, the last components are rounding errors, which scaling would
        # blow up to the size of the others.
        size = self.pca_.explained_variance_
        self.pca_.components_ = self.pca_.components_[size > SMALLEST * size[0]]
        return self

    def transform(self, store: ImageStore, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Give (len(rows), components) float32."""
        return self._project(self._flat(store, rows))

    def of(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Represent (n, s, s, c) images of a store's size that are not in a store."""
        return self._project(_fractions(self.pixels_.of(images)))

    def graph(self, shape: tuple[int, ...], dtype: DTypeLike) -> list[Any]:
        """Give ONNX graphs from (n, *shape) stored pixels to the components; see `represent.graphs`."""
        from raresight.represent.graphs import graph_of

        kind, axes = np.dtype(dtype), self.pca_.components_.astype(np.float32)
        project = graph_of(
            f"""project ({kind}[n,h,w,c] x) => (float[n,k] rows) {{
                values = Cast<to=1>(x)
                flat = Flatten<axis=1>(values)
                fractions = Div(flat, full)
                turned = MatMul(fractions, axes)
                rows = Sub(turned, centre)
            }}""",
            full=np.array(np.iinfo(kind).max, np.float32),
            axes=axes.T,
            centre=(self.pca_.mean_ @ self.pca_.components_.T).astype(np.float32),
        )
        return [*self.pixels_.graph(shape, dtype), project]

    def _project(self, flat: NDArray[Any]) -> NDArray[np.float32]:
        projected: NDArray[np.float32] = self.pca_.transform(flat).astype(np.float32)
        return projected

    def _flat(self, store: ImageStore, rows: NDArray[np.int64]) -> NDArray[Any]:
        return _fractions(self.pixels_.transform(store, rows))


def _fractions(pixels: NDArray[Any]) -> NDArray[np.float32]:
    fractions: NDArray[np.float32] = pixels.reshape(len(pixels), -1).astype(np.float32)
    fractions /= np.float32(np.iinfo(pixels.dtype).max)
    return fractions
