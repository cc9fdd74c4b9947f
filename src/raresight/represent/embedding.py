"""A frozen pretrained network's features."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from raresight.images.store import ImageStore
from raresight.progress import Progress, silent
from raresight.represent.backbones import (
    EXPORT_VERSION,
    OnnxBackbone,
    TorchBackbone,
    backbone_key,
    check_backbone,
    check_side,
    embed_store,
    exported,
    open_backbone,
)

LITE0_FEATURES = 1280
LITE0_GRID = 7
"""Side of lite0's last maps at 224 pixels."""


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

    def map_graph(self, shape: tuple[int, ...], dtype: DTypeLike) -> list[Any]:
        """Give ONNX graphs from (n, *shape) stored pixels to the maps (n, features, h, w) whose mean it is.

        None for networks other than lite0, whose last step is not known.
        """
        if self.backbone != "lite0":
            return []
        import onnx

        pieces = self.graph(shape, dtype)
        graph = pieces[-1].graph
        pool = next(node for node in graph.node if graph.output[0].name in node.output)
        assert pool.op_type == "ReduceMean"
        graph.node.remove(pool)
        graph.output[0].CopyFrom(
            onnx.helper.make_tensor_value_info(
                pool.input[0], onnx.TensorProto.FLOAT, ["n", LITE0_FEATURES, LITE0_GRID, LITE0_GRID]
            )
        )
        return pieces

    def graph(self, shape: tuple[int, ...], dtype: DTypeLike) -> list[Any]:
        """Give ONNX graphs from (n, *shape) stored pixels to the features; see `represent.graphs`.

        Raises
        ------
        RaresightError
            If the network cannot be written as a graph.
        """
        import onnx

        from raresight.represent.graphs import graph_of, rgb_graph

        network = open_backbone(self.backbone)
        check_side(network, self.backbone, shape[0])
        pieces = [rgb_graph(shape, dtype)]
        if isinstance(network, TorchBackbone):
            path = exported(f"{self.key}-{shape[0]}", network.module, (*shape[:2], 3))
            return [*pieces, onnx.load(path)]
        assert isinstance(network, OnnxBackbone)
        if network.channels_first:
            text = "planes (float[n,h,w,3] x) => (float[n,3,h,w] y) { y = Transpose<perm=[0,3,1,2]>(x) }"
            pieces.append(graph_of(text))
        pieces.append(onnx.load(network.path))
        if network.pools:
            mean = "mean (float[n,c,h,w] x) => (float[n,c] y) { y = ReduceMean<keepdims=0>(x, axes) }"
            pieces.append(graph_of(mean, axes=np.array([2, 3], np.int64)))
        return pieces
