"""A frozen pretrained network's feature maps: what it sees where."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from raresight.errors import OptionError
from raresight.images.store import ImageStore
from raresight.progress import Progress, silent
from raresight.represent.backbones import EXPORT_VERSION, OnnxBackbone, embed_store, lite0_maps_onnx

GRIDS = (14, 28)
SIDES = {14: range(16), 28: range(11)}
"""Grid → the blocks that may stand on it; the last ones would have to be enlarged fourfold."""


class Maps:
    """Feature maps of EfficientNet-Lite0, trained on ImageNet and never on this set (Tan & Le 2019).

    Parameters
    ----------
    grid : {14, 28}
        Side of the grid; a place is 16 or 8 pixels wide.
    blocks : str or int
        Numbers of the network's blocks whose maps are taken, joined by ``+``: ``"4+10"`` are 40 and 112
        channels, local detail and its surroundings, as Roth et al. (CVPR 2022) take the middle of a network.
    """

    learned = False

    def __init__(self, grid: int = 14, blocks: str | int = "4+10") -> None:
        numbers = str(blocks).split("+")
        if grid not in GRIDS:
            raise OptionError(f"maps[grid={grid}] is none of 14 and 28")
        if not all(each.isdigit() and int(each) in SIDES[grid] for each in numbers):
            raise OptionError(
                f"maps[blocks={blocks}] is not made of numbers from 0 to {max(SIDES[grid])} joined by +"
            )
        self.grid, self.blocks = grid, str(blocks)

    def fit(self, store: ImageStore, rows: NDArray[np.int64]) -> Self:
        """Learn nothing: the network is frozen."""
        return self

    def transform(self, store: ImageStore, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Give (len(rows), grid, grid, channels) float16."""
        return self.whole(store)[rows]

    def of(self, images: NDArray[Any]) -> NDArray[Any]:
        """Represent (n, 224, 224, c) images that are not in a store."""
        return self._network().embed(images, workers=1, dtype=np.float16)

    def whole(self, store: ImageStore, progress: Progress = silent) -> NDArray[Any]:
        """Give the maps of every image, memory-mapped; computed once for a store."""

        def make() -> NDArray[Any]:
            return embed_store(store, self._network(), "lite0", progress, np.float16)

        return store.derived(f"maps-{self.blocks}-{self.grid}-v{EXPORT_VERSION}", make)

    def graph(self, shape: tuple[int, ...], dtype: DTypeLike) -> list[Any]:
        """Give ONNX graphs from (n, 224, 224, c) stored pixels to the maps; see `represent.graphs`."""
        import onnx

        from raresight.represent.graphs import graph_of, rgb_graph

        stored = "stored (float[n,h,w,c] x) => (float16[n,h,w,c] rows) { rows = Cast<to=10>(x) }"
        return [rgb_graph(shape, dtype), onnx.load(self._network().path), graph_of(stored)]

    def _network(self) -> OnnxBackbone:
        blocks = sorted({int(each) for each in self.blocks.split("+")})
        return OnnxBackbone(lite0_maps_onnx(blocks, self.grid), pooled=False)
