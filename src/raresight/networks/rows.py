"""Images as a network reads them: a block of rows at a time, whether they are stored or made on the spot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from raresight.networks.pixels import Pixels


class ImageArray(Protocol):
    """Images (n, height, width, channels), real or made when asked for; only ever read a block at a time."""

    @property
    def shape(self) -> tuple[int, ...]:
        """All four lengths."""
        ...

    @property
    def dtype(self) -> Any:
        """uint8 or uint16."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> Any:
        """(m, height, width, channels) ndarray of the rows that an integer array names."""
        ...


class ImageRows(Dataset[tuple[Tensor, dict[str, Tensor]]]):
    """Images, their targets and weights, indexed by a whole batch of row numbers at once.

    Parameters
    ----------
    images : ImageArray
    target : (n, …) array
        What the loss compares the network's output with, for instance class shares (n, classes).
    weight : (n,) array, optional
        Multiplies each row's loss; default 1.
    """

    def __init__(self, images: ImageArray, target: NDArray[Any], weight: NDArray[Any] | None = None) -> None:
        self.images = images
        self.target = torch.from_numpy(np.array(target, dtype=np.float32))
        ones = np.ones(len(images), dtype=np.float32)
        self.weight = torch.from_numpy(ones if weight is None else np.array(weight, dtype=np.float32))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: list[int]) -> tuple[Tensor, dict[str, Tensor]]:
        index = torch.tensor(rows)
        return read_block(self.images, rows), {"target": self.target[index], "weight": self.weight[index]}


class MapRows(ImageRows):
    """Images whose target is a map of each, which is moved with the image in training.

    Parameters
    ----------
    images : ImageArray
    maps : (n, height, width) array-like
        Read a block at a time, like the images.
    known : (n,) bool array
        Where the map says something; elsewhere the target is −1 throughout.
    ill : (n,) bool array
        Which rows are anomalous.
    weight : (n,) array, optional
        Multiplies each row's loss; default 1.
    """

    def __init__(
        self,
        images: ImageArray,
        maps: Any,
        known: NDArray[np.bool_],
        ill: NDArray[np.bool_],
        weight: NDArray[Any] | None = None,
    ) -> None:
        super().__init__(images, known, weight)
        self.maps = maps
        self.ill = torch.from_numpy(np.array(ill, dtype=bool))

    def __getitem__(self, rows: list[int]) -> tuple[Tensor, dict[str, Tensor]]:
        """Give images, and of each its map (1, height, width): 1 on a lesion, 0 beside it, −1 if unknown."""
        images, truth = super().__getitem__(rows)
        known = truth["target"].view(-1, 1, 1, 1) > 0
        maps = (read_block(self.maps, rows) > 0).float().unsqueeze(1)
        return images, {"maps": torch.where(known, maps, -1.0), "weight": truth["weight"]}


class Subset:
    """Some rows of an image array, still read only when indexed.

    Parameters
    ----------
    images : ImageArray
        Its real rows lead; where synthetic ones follow it says how many they are, as ``n_real``.
    rows : int64 array
    """

    def __init__(self, images: ImageArray, rows: NDArray[np.int64]) -> None:
        self.images, self.rows = images, rows
        self.shape = (len(rows), *images.shape[1:])
        self.dtype, self.ndim = images.dtype, len(self.shape)
        self.n_real = int((rows < getattr(images, "n_real", len(images))).sum())

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any, /) -> Any:
        return np.asarray(self.images[self.rows[rows]])


def read_block(images: ImageArray, rows: list[int] | NDArray[np.int64]) -> Tensor:
    """Read the images of some rows as a tensor of their own dtype."""
    return torch.from_numpy(np.ascontiguousarray(images[np.asarray(rows, dtype=np.int64)]))


def blocks(n: int, size: int) -> Iterator[NDArray[np.int64]]:
    """Cut the row numbers 0 … n − 1 into blocks of at most `size`."""
    for start in range(0, n, size):
        yield np.arange(start, min(start + size, n))


def channel_statistics(
    images: ImageArray, pixels: Pixels, *, rows: int | None = None, size: int = 64
) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, as `Pixels` gives them.

    Parameters
    ----------
    images : ImageArray
    pixels : Pixels
    rows : int, optional
        Only the first so many, for instance the real ones where synthetic ones follow.
    size : int
        Images read at a time.
    """
    total, squares, count = 0.0, 0.0, 0
    for block in blocks(len(images) if rows is None else rows, size):
        planes = pixels(read_block(images, block)).double()
        total = total + planes.sum(dim=(0, 2, 3))
        squares = squares + planes.square().sum(dim=(0, 2, 3))
        count += planes.numel() // planes.shape[1]
    mean = torch.as_tensor(total) / count
    variance = (torch.as_tensor(squares) / count - mean.square()).clamp_min(0)
    # A channel that never changes carries nothing; dividing by its zero would make it NaN.
    std = torch.where(variance > 1e-12, variance.sqrt(), torch.ones_like(variance))
    return mean.tolist(), std.tolist()
