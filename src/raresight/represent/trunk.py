"""What a pretrained network's first blocks make of an image in a few views; computed once and kept."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray

from raresight.errors import OptionError
from raresight.images.augment import AUGMENTATIONS, fixed_views, view_grids
from raresight.images.store import ImageStore
from raresight.networks.lite0 import Lite0
from raresight.progress import Progress, silent
from raresight.represent.backbones import (
    EXPORT_VERSION,
    LITE0_PIXELS,
    full_scale,
    lite0_trunk_onnx,
    open_graph,
)

FIRST_BLOCK = {1: 15, 2: 11, 3: 8, 4: 5}
"""Last stages of lite0 that are trained → the block (0 … 15) from which training starts."""

BATCH = 16


class Trunk:
    """Feature maps of lite0's frozen first blocks, for training its last stages.

    The views are the same for all images: the image itself, its mirror images where the modality allows
    them, then fixed small rotations and magnifications. An image takes views × 19 to 63 kB. Source: Yosinski,
    Clune, Bengio & Lipson, "How transferable are features in deep neural networks?", NeurIPS 2014.

    Parameters
    ----------
    stages : {1, 2, 3, 4}
        Stages of the network that are left to be trained: maps after block 14, 10, 7 or 4, of 7 × 7 × 192,
        14 × 14 × 112, 14 × 14 × 80 or 28 × 28 × 40.
    views : int
        Ways in which an image is seen.
    modality : str
        Of `raresight.images.augment.AUGMENTATIONS`; ``"auto"``: what ``--preprocess`` says.
    """

    learned = False

    def __init__(self, stages: int = 3, views: int = 12, modality: str = "auto") -> None:
        if stages not in FIRST_BLOCK:
            raise OptionError(f"trunk[stages={stages}] is not a number of stages; choose 1, 2, 3 or 4")
        if not 1 <= views <= 64:
            raise OptionError(f"trunk[views={views}] is out of range; choose 1 to 64")
        if modality != "auto" and modality not in AUGMENTATIONS:
            raise OptionError(f"unknown trunk[modality={modality}]; there are: {', '.join(AUGMENTATIONS)}")
        self.stages, self.views, self.modality = stages, views, modality

    def fit(self, store: ImageStore, rows: NDArray[np.int64]) -> Self:
        """Settle how images are seen; nothing is learned from a label or a split."""
        self.seen_as_ = self._seen_as(store)
        return self

    def transform(self, store: ImageStore, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Give (len(rows), views, h, w, channels) float16."""
        return self.whole(store)[rows]

    def of(self, images: NDArray[Any]) -> NDArray[Any]:
        """Represent (n, 224, 224, c) images that are not in a store."""
        return self._maps(images, workers=1)

    def whole(self, store: ImageStore, progress: Progress = silent) -> NDArray[Any]:
        """Give the maps of every image, memory-mapped; computed once for a store."""
        self.fit(store, np.empty(0, np.int64))

        def make() -> NDArray[Any]:
            if store.preprocess.size != LITE0_PIXELS:
                raise OptionError(
                    f"lite0 sees {LITE0_PIXELS} pixels; leave out --size {store.preprocess.size}"
                )
            with progress("running the frozen trunk", len(store)) as tick:
                return self._maps(store.pixels, os.cpu_count() or 1, tick)

        name = f"trunk-lite0-{self.stages}-{self.views}-{self.seen_as_}-v{EXPORT_VERSION}"
        return store.derived(name, make)

    def graph(self, shape: tuple[int, ...], dtype: DTypeLike, views: int | None = None) -> list[Any]:
        """Give ONNX graphs from (n, 224, 224, c) stored pixels to the maps; see `raresight.represent.graphs`.

        Parameters
        ----------
        shape, dtype
            Of the stored images.
        views : int, optional
            How many of the views, the first ones; by default all.
        """
        import onnx

        from raresight.represent.graphs import graph_of, rgb_graph

        count = self.views if views is None else min(views, self.views)
        path = lite0_trunk_onnx(FIRST_BLOCK[self.stages])
        _, channels, height, width = open_graph(path).get_outputs()[0].shape
        lines, grids = ["v0 = Transpose<perm=[0,3,1,2]>(rgb)", "one = Reshape(v0, together)"], {}
        moves = view_grids(AUGMENTATIONS[self.seen_as_], self.views, shape[0])[: count - 1]
        for number, grid in enumerate(moves, 1):
            grids[f"grid{number}"] = grid
            # All channels of all images lie in one, so that one grid moves them all.
            lines.append(f'm{number} = GridSample<mode="linear", align_corners=0>(one, grid{number})')
            lines.append(f"v{number} = Reshape(m{number}, apart)")
        lines += [f"seen = Concat<axis=1>({', '.join(f'v{number}' for number in range(count))})"]
        lines += [
            "all = Reshape(seen, apart)",
            "centred = Sub(all, mean)",
            "planes = Div(centred, deviation)",
        ]
        body, size = "\n".join(lines), f"{shape[0]},{shape[1]}"
        front = graph_of(
            f"views (float[n,{size},3] rgb) => (float[m,3,{size}] planes) {{ {body} }}",
            together=np.array([1, -1, *shape[:2]], np.int64),
            apart=np.array([-1, 3, *shape[:2]], np.int64),
            mean=np.array(127, np.float32),
            deviation=np.array(128, np.float32),
            **grids,
        )
        stored = graph_of(
            f"""stored (float[m,{channels},{height},{width}] x)
                => (float16[n,{count},{height},{width},{channels}] rows) {{
                by = Reshape(x, parts)
                last = Transpose<perm=[0,1,3,4,2]>(by)
                rows = Cast<to=10>(last)
            }}""",
            parts=np.array([-1, count, channels, height, width], np.int64),
        )
        return [rgb_graph(shape, dtype), front, onnx.load(path), stored]

    def _seen_as(self, store: ImageStore) -> str:
        return (store.preprocess.preset or "default") if self.modality == "auto" else self.modality

    def _maps(self, pixels: NDArray[Any], workers: int, tick: Any = None) -> NDArray[np.float16]:
        """Run the trunk over every view of every image; the result does not depend on `workers`."""
        graph = open_graph(lite0_trunk_onnx(FIRST_BLOCK[self.stages]))
        _, channels, height, width = graph.get_outputs()[0].shape
        maps = np.empty((len(pixels), self.views, height, width, channels), np.float16)
        how = AUGMENTATIONS[self.seen_as_]

        def one(start: int) -> None:
            block = full_scale(pixels[start : start + BATCH])
            if block.shape[-1] == 1:
                block = np.repeat(block, 3, axis=-1)
            # Moved while black is zero: what comes in from outside an image is then black.
            planes = torch.from_numpy(block).permute(0, 3, 1, 2)
            for number, view in enumerate(fixed_views(planes, how, self.views)):
                normal = Lite0.planes(view.permute(0, 2, 3, 1)).contiguous().numpy()
                (found,) = graph.run(None, {"pixels": normal})
                maps[start : start + len(block), number] = found.transpose(0, 2, 3, 1)
            if tick is not None:
                tick(len(block))

        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(one, range(0, len(pixels), BATCH)))
        return maps
