"""Pretrained networks as ONNX graphs: exported once, cached, run by ONNX Runtime."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from raresight.errors import OptionError
from raresight.images.cache import cache_folder, disk_errors, new_file
from raresight.images.store import ImageStore
from raresight.progress import Progress

if TYPE_CHECKING:
    import torch

LITE0_PIXELS = 224
PIXELS = (LITE0_PIXELS, LITE0_PIXELS, 3)
BATCH = 32
EXPORT_VERSION = 1


def lite0_onnx() -> Path:
    """Give the path of the exported lite0 graph, exporting it on the first call."""

    def make() -> torch.nn.Module:
        from raresight.networks.lite0 import Lite0

        return Lite0()

    return exported("lite0", make)


def lite0_maps_onnx(blocks: Sequence[int], grid: int) -> Path:
    """Give the path of the graph of lite0's feature maps; see `raresight.networks.lite0.Lite0Maps`."""

    def make() -> torch.nn.Module:
        from raresight.networks.lite0 import Lite0Maps

        return Lite0Maps(blocks, grid)

    return exported(f"lite0-maps-{'-'.join(map(str, blocks))}-grid{grid}", make)


def exported(name: str, make: Callable[[], torch.nn.Module]) -> Path:
    """Give the path of a network's graph in the cache, exporting it on the first call.

    Parameters
    ----------
    name : str
        What it is, with everything that decides its content.
    make : callable
        Builds the network, from (n, 224, 224, 3) float32 pixels of 0 … 255 to (n, …) features.
    """
    path = cache_folder() / "backbones" / f"{name}-v{EXPORT_VERSION}.onnx"
    if not path.exists():
        module = make()
        with disk_errors(path.parent, "set RARESIGHT_CACHE to another folder"), new_file(path) as scratch:
            _export(module.eval(), scratch)
    return path


def _export(module: torch.nn.Module, path: Path) -> None:
    import torch

    example = torch.zeros(2, LITE0_PIXELS, LITE0_PIXELS, 3)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module,
            (example,),
            str(path),
            input_names=["pixels"],
            output_names=["embedding"],
            dynamic_axes={"pixels": {0: "n"}, "embedding": {0: "n"}},
            dynamo=False,
        )


class OnnxBackbone:
    """A frozen network from pixels to features, on one intra-op thread a call.

    Parameters
    ----------
    path : Path
        An ONNX graph that takes (n, 224, 224, 3) float32 pixels of 0 … 255.
    """

    def __init__(self, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    @property
    def shape(self) -> tuple[int, ...]:
        """What an image gets: (features,), or (grid, grid, channels)."""
        (features,) = self._session.run(None, {"pixels": np.zeros((1, *PIXELS), np.float32)})
        return tuple(features.shape[1:])

    def __call__(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Embed one batch.

        Parameters
        ----------
        pixels : (n, 224, 224, c) uint8 or uint16 array
            c is 1 (repeated to three channels) or 3.

        Returns
        -------
        (n, …) float32 array
        """
        batch = pixels.astype(np.float32)
        if pixels.dtype == np.uint16:
            batch /= 257.0
        if batch.shape[-1] == 1:
            batch = np.repeat(batch, 3, axis=-1)
        (features,) = self._session.run(None, {"pixels": batch})
        result: NDArray[np.float32] = features
        return result

    def embed(
        self, pixels: NDArray[Any], workers: int, tick: Any = None, dtype: Any = np.float32
    ) -> NDArray[Any]:
        """Embed a whole array in batches, several at a time; the result does not depend on `workers`."""
        starts = range(0, len(pixels), BATCH)
        features = np.empty((len(pixels), *self.shape), dtype)

        def one(start: int) -> None:
            block = pixels[start : start + BATCH]
            features[start : start + len(block)] = self(block)
            if tick is not None:
                tick(len(block))

        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(one, starts))
        return features


def embed_store(
    store: ImageStore, graph: Callable[[], Path], what: str, progress: Progress, dtype: Any = np.float32
) -> NDArray[Any]:
    """Embed every image of a store.

    Parameters
    ----------
    store : ImageStore
    graph : callable
        Gives the path of the network's graph, exporting it if need be.
    what : str
        What progress is reported of.
    progress : callable
    dtype : dtype
        Of the result.

    Raises
    ------
    OptionError
        If the store's images are not of the size that the network sees.
    """
    if store.preprocess.size != LITE0_PIXELS:
        raise OptionError(f"lite0 sees {LITE0_PIXELS} pixels; leave out --size {store.preprocess.size}")
    network = OnnxBackbone(graph())
    with progress(what, len(store)) as tick:
        return network.embed(store.pixels, os.cpu_count() or 1, tick, dtype)
