"""Frozen backbones, from stored pixels to features: ONNX graphs by ONNX Runtime, others by torch."""

from __future__ import annotations

import hashlib
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
from raresight.images.cache import cache_folder, content_hash, disk_errors, new_file
from raresight.images.store import ImageStore
from raresight.progress import Progress

if TYPE_CHECKING:
    import torch

LITE0_PIXELS = 224
PIXELS = (LITE0_PIXELS, LITE0_PIXELS, 3)
BATCH = 32
EXPORT_VERSION = 1

KINDS = "lite0, monai:NAME, timm:NAME, hf:REPO, onnx:FILE"


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


def lite0_trunk_onnx(blocks: int) -> Path:
    """Give the path of a graph of lite0's first blocks, from normalised planes to feature maps."""

    def make() -> torch.nn.Module:
        from raresight.networks.lite0 import Lite0Trunk

        return Lite0Trunk(blocks)

    return exported(f"lite0-{blocks}", make, (3, LITE0_PIXELS, LITE0_PIXELS))


def exported(name: str, make: Callable[[], torch.nn.Module], shape: tuple[int, ...] = PIXELS) -> Path:
    """Give the path of a network's graph in the cache, exporting it on the first call.

    Parameters
    ----------
    name : str
        What it is, with everything that decides its content.
    make : callable
        Builds the network, from (n, …) float32 to (n, …) features.
    shape : tuple of int
        Of one of its inputs; by default of pixels of 0 … 255.
    """
    path = cache_folder() / "backbones" / f"{name}-v{EXPORT_VERSION}.onnx"
    if not path.exists():
        module = make()
        with disk_errors(path.parent, "set RARESIGHT_CACHE to another folder"), new_file(path) as scratch:
            _export(module, scratch, shape)
    return path


def _export(module: torch.nn.Module, path: Path, shape: tuple[int, ...]) -> None:
    import torch

    example = torch.zeros(2, *shape)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            module.eval(),
            (example,),
            str(path),
            input_names=["pixels"],
            output_names=["embedding"],
            dynamic_axes={"pixels": {0: "n"}, "embedding": {0: "n"}},
            dynamo=False,
        )


def open_graph(path: Path) -> Any:
    """Open an ONNX graph as an ``onnxruntime.InferenceSession`` of one thread a call."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class FrozenBackbone:
    """What frozen backbones share: batches, several at a time.

    Attributes
    ----------
    side : int or None
        Side in pixels of the images that it takes; None: any.
    shape : tuple of int
        What an image gets: (features,), or (grid, grid, channels).
    """

    side: int | None
    shape: tuple[int, ...]

    def __call__(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Embed one batch.

        Parameters
        ----------
        pixels : (n, side, side, c) uint8 or uint16 array
            c is 1 (repeated to three channels) or 3.

        Returns
        -------
        (n, …) float32 array
        """
        raise NotImplementedError

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


class OnnxBackbone(FrozenBackbone):
    """A frozen network from pixels to features, on one intra-op thread a call.

    Parameters
    ----------
    path : Path
        An ONNX graph with one input, float32 pixels of 0 … 255, (n, s, s, 3) or (n, 3, s, s), whose first
        output is features (n, width) or maps, which are averaged, (n, width, h, w).
    pooled : bool
        False for maps (n, grid, grid, channels) that are wanted as they are.

    Attributes
    ----------
    path : Path
    channels_first : bool
        Whether the graph takes (n, 3, s, s).
    pools : bool
        Whether its output is maps, which are averaged.

    Raises
    ------
    OptionError
        If there is no such file, it is no ONNX graph, or its input or output has another shape.
    """

    def __init__(self, path: Path, *, pooled: bool = True) -> None:
        if not path.is_file():
            raise OptionError(f"there is no backbone file {path}; write onnx:FILE with the path of a graph")
        try:
            self._session = open_graph(path)
        except Exception as error:  # ONNX Runtime has a kind of its own for each thing that can be wrong
            raise OptionError(f"{path} is not an ONNX graph that ONNX Runtime can run") from error
        self._input, *more = self._session.get_inputs()
        output = self._session.get_outputs()[0]
        self.path = path
        self.channels_first = self._layout(path, bool(more))
        self.pools = pooled and len(output.shape) == 4
        if not pooled:
            seen = self._session.run(None, {self._input.name: np.zeros((1, *PIXELS), np.float32)})[0]
            self.shape = tuple(seen.shape[1:])
            return
        if len(output.shape) not in (2, 4) or not isinstance(output.shape[1], int):
            raise OptionError(
                f"the output of {path} has shape {output.shape}; a backbone gives (n, features) or "
                "(n, features, h, w)"
            )
        self.shape = (int(output.shape[1]),)

    def _layout(self, path: Path, more: bool) -> bool:
        """Read side and layout off the graph, and tell whether channels come first."""
        shape, kind = self._input.shape, self._input.type
        wrong = f"the input of {path} is {kind} of shape {shape}"
        if more or len(shape) != 4 or kind != "tensor(float)" or isinstance(shape[0], int):
            raise OptionError(f"{wrong}; a backbone takes float (n, s, s, 3) or (n, 3, s, s) with n free")
        first = bool(shape[1] == 3)
        height, width = shape[2:] if first else shape[1:3]
        if (not first and shape[3] != 3) or (height != width and isinstance(height, int)):
            raise OptionError(f"{wrong}; a backbone takes float (n, s, s, 3) or (n, 3, s, s) with n free")
        self.side = height if isinstance(height, int) else None
        return first

    def __call__(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Embed one batch, see `FrozenBackbone`."""
        batch = full_scale(pixels)
        if batch.shape[-1] == 1:
            batch = np.repeat(batch, 3, axis=-1)
        if self.channels_first:
            batch = np.ascontiguousarray(batch.transpose(0, 3, 1, 2))
        features: NDArray[np.float32] = self._session.run(None, {self._input.name: batch})[0]
        return features.mean(axis=(2, 3)) if self.pools else features


class TorchBackbone(FrozenBackbone):
    """A network of `raresight.networks.backbones`, frozen.

    Parameters
    ----------
    name : str
        See `raresight.networks.backbones.make_backbone`.

    Raises
    ------
    OptionError
        If its weights are random: frozen, it would show nothing of an image that chance does not.
    """

    side = None

    def __init__(self, name: str) -> None:
        from raresight.networks.backbones import make_backbone

        self._network = make_backbone(name).eval()
        if not self._network.pretrained:
            raise OptionError(
                f"{name} comes without weights, and a frozen network of random ones sees little; "
                f"train it: transfer[backbone={name},stages=all]"
            )
        self.shape = (self._network.width,)

    def module(self) -> torch.nn.Module:
        """Give the network from (n, s, s, 3) float32 pixels of 0 … 255 to features, to be exported."""
        from raresight.networks.backbones import FromPixels

        return FromPixels(self._network)

    def __call__(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Embed one batch, see `FrozenBackbone`."""
        import torch

        planes = torch.from_numpy(full_scale(pixels) / np.float32(255)).permute(0, 3, 1, 2)
        with torch.inference_mode():
            features: NDArray[np.float32] = self._network(planes).numpy()
        return features


def full_scale(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Give uint8 or uint16 pixels as float32 of 0 … 255."""
    values = pixels.astype(np.float32)
    if pixels.dtype == np.uint16:
        values /= np.float32(257)
    return values


def check_backbone(name: str) -> None:
    """Refuse the name of a backbone that there is none of, before anything is read.

    Raises
    ------
    OptionError
        If no backbone is called so.
    """
    kind, colon, rest = name.partition(":")
    if name != "lite0" and not (colon and rest and kind in ("monai", "timm", "hf", "onnx")):
        raise OptionError(f"unknown backbone {name!r}; there are: {KINDS}")


def open_backbone(name: str) -> FrozenBackbone:
    """Open a frozen backbone by name.

    Parameters
    ----------
    name : str
        ``"lite0"``, ``"timm:NAME"``, ``"hf:REPO"`` or ``"onnx:FILE"``.

    Raises
    ------
    OptionError
        If there is none of that name, its file has another shape, or its weights are random.
    MissingExtraError, RaresightError
        See `raresight.networks.backbones.make_backbone`.
    """
    if name == "lite0":
        found: FrozenBackbone = OnnxBackbone(lite0_onnx())
        found.side = LITE0_PIXELS
        return found
    if name.startswith("onnx:"):
        return OnnxBackbone(Path(name[5:]))
    return TorchBackbone(name)


def backbone_key(name: str) -> str:
    """Name a backbone's features in the cache: safe in file names, and another for another graph."""
    if name == "lite0":
        return name
    kind, _, rest = name.partition(":")
    path = Path(rest)
    content = hashlib.sha256(path.read_bytes()).hexdigest() if kind == "onnx" and path.is_file() else rest
    return f"{kind}-{content_hash(content)[:12]}"


def embed_store(
    store: ImageStore, backbone: FrozenBackbone, name: str, progress: Progress, dtype: Any = np.float32
) -> NDArray[Any]:
    """Embed every image of a store.

    Parameters
    ----------
    store : ImageStore
    backbone : FrozenBackbone
    name : str
        What the backbone is called.
    progress : callable
    dtype : dtype
        Of the result.

    Raises
    ------
    OptionError
        If the store's images are not of the size that the network sees.
    """
    check_side(backbone, name, store.preprocess.size)
    with progress("embedding images", len(store)) as tick:
        return backbone.embed(store.pixels, os.cpu_count() or 1, tick, dtype)


def check_side(backbone: FrozenBackbone, name: str, side: int) -> None:
    """Refuse images of another size than a backbone sees."""
    if backbone.side not in (None, side):
        raise OptionError(f"{name} sees {backbone.side} pixels; write --size {backbone.side}, not {side}")
