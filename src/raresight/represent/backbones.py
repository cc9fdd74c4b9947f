"""Pretrained networks as ONNX graphs: exported once, cached, run by ONNX Runtime."""

from __future__ import annotations

import logging
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from raresight.images.cache import cache_folder, disk_errors, new_file

if TYPE_CHECKING:
    import torch

LITE0_PIXELS = 224
BATCH = 32
EXPORT_VERSION = 1


def lite0_onnx() -> Path:
    """Give the path of the exported lite0 graph, exporting it on the first call."""
    path = cache_folder() / "backbones" / f"lite0-v{EXPORT_VERSION}.onnx"
    if not path.exists():
        from raresight.networks.lite0 import Lite0

        module = Lite0()
        with disk_errors(path.parent, "set RARESIGHT_CACHE to another folder"), new_file(path) as scratch:
            _export(module, scratch)
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
    def width(self) -> int:
        """Number of features an image gets."""
        return int(self._session.get_outputs()[0].shape[-1])

    def __call__(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Embed one batch.

        Parameters
        ----------
        pixels : (n, 224, 224, c) uint8 or uint16 array
            c is 1 (repeated to three channels) or 3.

        Returns
        -------
        (n, width) float32 array
        """
        batch = pixels.astype(np.float32)
        if pixels.dtype == np.uint16:
            batch /= 257.0
        if batch.shape[-1] == 1:
            batch = np.repeat(batch, 3, axis=-1)
        (features,) = self._session.run(None, {"pixels": batch})
        result: NDArray[np.float32] = features
        return result

    def embed(self, pixels: NDArray[Any], workers: int, tick: Any = None) -> NDArray[np.float32]:
        """Embed a whole array in batches, several at a time; the result does not depend on `workers`."""
        starts = range(0, len(pixels), BATCH)
        features = np.empty((len(pixels), self.width), np.float32)

        def one(start: int) -> None:
            block = pixels[start : start + BATCH]
            features[start : start + len(block)] = self(block)
            if tick is not None:
                tick(len(block))

        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(one, starts))
        return features
