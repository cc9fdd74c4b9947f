"""A frozen pretrained network's features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.images.store import ImageStore
from raresight.progress import Progress, silent
from raresight.represent.backbones import (
    EXPORT_VERSION,
    backbone_key,
    check_backbone,
    check_side,
    embed_store,
    open_backbone,
)


class Embedding:
    """Pooled features of a network trained elsewhere and never on this set.

    Parameters
    ----------
    backbone : str
        ``"lite0"``: EfficientNet-Lite0 with its ImageNet weights, 1,280 features (Tan & Le 2019);
        ``"timm:NAME"`` and ``"hf:REPO"``: timm's models with the weights that its local cache holds;
        ``"onnx:FILE"``: any graph from (n, s, s, 3) or (n, 3, s, s) pixels of 0 … 255 to features.
    """

    learned = False

    def __init__(self, backbone: str = "lite0") -> None:
        check_backbone(backbone)
        self.backbone = backbone

    @property
    def key(self) -> str:
        """What its files in the cache are named by."""
        return backbone_key(self.backbone)

    def fit(self, store: ImageStore, rows: NDArray[np.int64]) -> Embedding:
        """Learn nothing: the network is frozen."""
        return self

    def transform(self, store: ImageStore, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Give (len(rows), features) float32."""
        return self.whole(store)[rows]

    def of(self, images: NDArray[Any]) -> NDArray[Any]:
        """Represent (n, s, s, c) images of a store's size that are not in a store."""
        network = open_backbone(self.backbone)
        check_side(network, self.backbone, images.shape[1])
        return network.embed(images, workers=1)

    def whole(self, store: ImageStore, progress: Progress = silent) -> NDArray[Any]:
        """Give the features of every image, memory-mapped; computed once for a store."""

        def make() -> NDArray[Any]:
            return embed_store(store, open_backbone(self.backbone), self.backbone, progress)

        return store.derived(f"embedding-{self.key}-v{EXPORT_VERSION}", make)
