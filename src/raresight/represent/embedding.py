"""A frozen pretrained network's features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.errors import OptionError
from raresight.images.store import ImageStore
from raresight.progress import Progress, silent
from raresight.represent.backbones import EXPORT_VERSION, OnnxBackbone, embed_store, lite0_onnx


class Embedding:
    """Pooled features of a network trained on ImageNet and never on this set.

    Parameters
    ----------
    backbone : str
        ``"lite0"``: EfficientNet-Lite0, 1,280 features (Tan & Le 2019).
    """

    learned = False

    def __init__(self, backbone: str = "lite0") -> None:
        if backbone != "lite0":
            raise OptionError(f"unknown backbone {backbone!r}; there is: lite0")
        self.backbone = backbone

    def fit(self, store: ImageStore, rows: NDArray[np.int64]) -> Embedding:
        """Learn nothing: the network is frozen."""
        return self

    def transform(self, store: ImageStore, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Give (len(rows), features) float32."""
        return self.whole(store)[rows]

    def of(self, images: NDArray[Any]) -> NDArray[Any]:
        """Represent (n, 224, 224, c) images that are not in a store."""
        return OnnxBackbone(lite0_onnx()).embed(images, workers=1)

    def whole(self, store: ImageStore, progress: Progress = silent) -> NDArray[Any]:
        """Give the features of every image, memory-mapped; computed once for a store."""

        def make() -> NDArray[Any]:
            return embed_store(store, lite0_onnx, "embedding images", progress)

        return store.derived(f"embedding-{self.backbone}-v{EXPORT_VERSION}", make)
