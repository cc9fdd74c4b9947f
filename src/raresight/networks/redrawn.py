"""Images held against what a generator makes of them: a score and a map."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as nnf

from raresight.networks.pixels import Pixels
from raresight.networks.wgan import SIDE


class Planes(nn.Module):
    """Turn stored images into what a pair sees: 64 × 64, −1 to 1.

    Parameters
    ----------
    dtype : dtype
        Of the stored images, uint8 or uint16.
    side : int
        The larger side of the stored images.
    """

    def __init__(self, dtype: Any, side: int) -> None:
        super().__init__()
        self.pixels = Pixels(dtype, max(1, side // SIDE))

    def forward(self, images: Tensor) -> Tensor:
        """(n, height, width, channels) → (n, channels, 64, 64)."""
        planes = nnf.interpolate(self.pixels(images), size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        return planes * 2 - 1


class Redrawn(nn.Module):
    """Score images by what sets them apart from what the generator makes of them.

    Parameters
    ----------
    planes : Planes
    redraw : torch.nn.Module
        From planes to the nearest that the generator draws.
    features : torch.nn.Module
        The critic's.
    weights : (float, float)
        Of the image error and of the feature error.
    power : {1, 2}
        Of the differences.
    top : float
        Share of the pixels, those furthest off, whose error is averaged.
    smoothing : int
        Side of the square, odd, over which errors are averaged before.
    """

    def __init__(
        self,
        planes: Planes,
        redraw: nn.Module,
        features: nn.Module,
        weights: tuple[float, float],
        *,
        power: int,
        top: float,
        smoothing: int,
    ) -> None:
        super().__init__()
        self.planes, self.redraw, self.features = planes, redraw, features
        self.weights, self.power, self.smoothing = weights, power, smoothing
        self.count = max(1, round(top * SIDE * SIDE))

    def forward(self, images: Tensor) -> Tensor:
        """(n, height, width, channels) stored pixels → (n,) scores."""
        planes = self.planes(images)
        drawn = self.redraw(planes)
        far = self._errors(planes - drawn).mean(dim=1, keepdim=True)
        by = self.smoothing
        far = nnf.avg_pool2d(far, by, 1, by // 2, count_include_pad=False).flatten(1)
        if self.count < far.shape[1]:
            far = torch.topk(far, self.count, dim=1).values
        strange = self._errors(self.features(planes) - self.features(drawn))
        return self.weights[0] * far.mean(dim=1) + self.weights[1] * strange.mean(dim=1)

    def _errors(self, apart: Tensor) -> Tensor:
        return apart.abs() if self.power == 1 else apart.square()


class Residual(nn.Module):
    """Absolute differences, (n, height, width), at the size of the stored images.

    Parameters
    ----------
    redrawn : Redrawn
    """

    def __init__(self, redrawn: Redrawn) -> None:
        super().__init__()
        self.redrawn = redrawn

    def forward(self, images: Tensor) -> Tensor:
        """(n, height, width, channels) stored pixels → (n, height, width)."""
        planes = self.redrawn.planes(images)
        apart = (planes - self.redrawn.redraw(planes)).abs().mean(dim=1, keepdim=True)
        size = (images.shape[1], images.shape[2])
        return nnf.interpolate(apart, size=size, mode="bilinear", align_corners=False)[:, 0]
