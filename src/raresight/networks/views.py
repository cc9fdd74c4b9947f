"""Feature maps in several views: a random one of them in training, the mean over the first few in scoring."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raresight.networks.pixels import ImageNetwork
from raresight.networks.rows import ImageArray, ImageRows


class Maps(nn.Module):
    """Stored feature maps as a network takes them: channels first, float32."""

    def forward(self, maps: Tensor) -> Tensor:
        """(n, h, w, channels) → (n, channels, h, w)."""
        return maps.float().permute(0, 3, 1, 2)


class Features(nn.Module):
    """Stored rows of features as a network takes them: float32."""

    def forward(self, rows: Tensor) -> Tensor:
        """(n, features) → the same shape."""
        return rows.float()


class ViewNetwork(ImageNetwork):
    """A network on maps that were stored in several views.

    Parameters
    ----------
    pixels : Maps
    body : torch.nn.Module
        From the maps of one view to logits.
    views : int
        How many views, the first ones, a score is the mean over.
    """

    def __init__(self, pixels: nn.Module, body: nn.Module, views: int) -> None:
        super().__init__(cast(Any, pixels), body)
        self.views = views

    def forward(self, maps: Tensor) -> Tensor:
        """(n, views, h, w, channels) → the mean of what `body` gives."""
        seen = [self.body(self.pixels(maps[:, view])) for view in range(self.views)]
        return torch.stack(seen).mean(dim=0)

    def with_body(self, body: nn.Module) -> ViewNetwork:
        """Give the same network with another body."""
        return ViewNetwork(self.pixels, body, self.views)


class CellLosses(nn.Module):
    """What the log odds lose without each cell of the last feature maps, of an image's first view.

    The features are the mean over the cells; the mean without one cell goes through the same head.

    Parameters
    ----------
    pixels : torch.nn.Module
        From stored maps to a tail's input.
    tails : sequence of torch.nn.Module
        Each member's, with a method ``last_maps``: → (n, width, h, w).
    heads : sequence of torch.nn.Module
        Each member's, from (…, width) to (…, 2) logits.
    """

    def __init__(self, pixels: nn.Module, tails: Sequence[nn.Module], heads: Sequence[nn.Module]) -> None:
        super().__init__()
        self.pixels, self.tails, self.heads = pixels, nn.ModuleList(tails), nn.ModuleList(heads)

    def forward(self, maps: Tensor) -> Tensor:
        """(n, views, h, w, channels) → (n, h′, w′)."""
        seen, lost = self.pixels(maps[:, 0]), []
        for tail, head in zip(self.tails, self.heads, strict=True):
            last = cast(Any, tail).last_maps(seen)
            cells = last.flatten(2)
            without = (cells.sum(dim=2, keepdim=True) - cells) / (cells.shape[2] - 1)
            logits = head(torch.cat([cells.mean(dim=2, keepdim=True), without], dim=2).transpose(1, 2))
            odds = logits[..., 1] - logits[..., 0]
            lost.append((odds[:, :1] - odds[:, 1:]).unflatten(1, tuple(last.shape[2:])))
        return torch.stack(lost).mean(dim=0)


class RandomViews(ImageRows):
    """Rows that are seen in one of their views, drawn each time that they are read.

    Parameters
    ----------
    images : (n, views, h, w, channels) array-like
    target, weight
        See `ImageRows`.
    seed : int
        Of the draws.
    """

    def __init__(self, images: ImageArray, target: Any, weight: Any, seed: int) -> None:
        super().__init__(images, target, weight)
        self.random = np.random.default_rng(seed)

    def __getitem__(self, rows: list[int]) -> tuple[Tensor, dict[str, Tensor]]:
        index = np.asarray(rows, dtype=np.int64)
        view = self.random.integers(self.images.shape[1], size=len(index))
        chosen = torch.from_numpy(index)
        targets = {"target": self.target[chosen], "weight": self.weight[chosen]}
        return torch.from_numpy(one_view(self.images, index, view)), targets


def one_view(images: Any, rows: NDArray[np.int64], view: NDArray[np.int64]) -> NDArray[Any]:
    """Read one view of each row: (m, h, w, channels)."""
    if isinstance(images, np.ndarray):
        return np.ascontiguousarray(images[rows, view])
    # Rows that are made when they are read are made whole.
    return np.ascontiguousarray(images[rows][np.arange(len(rows)), view])
