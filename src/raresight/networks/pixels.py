"""From stored pixels to what a network sees; part of the network, so that it is exported with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import DTypeLike
from torch import Tensor, nn

from raresight.errors import DataError

FULL_SCALE = {np.dtype(np.uint8): 255.0, np.dtype(np.uint16): 65535.0}
"""The value that a stored image's dtype gives to white."""


class Pixels(nn.Module):
    """Turn stored images into a network's input: channels first, 0 to 1, shrunk by averaging.

    Parameters
    ----------
    dtype : dtype
        Of the stored images, uint8 or uint16.
    shrink : int
        Each block of shrink × shrink pixels becomes one.

    Raises
    ------
    DataError
        If the images are of another dtype.
    """

    def __init__(self, dtype: DTypeLike, shrink: int = 1) -> None:
        super().__init__()
        if np.dtype(dtype) not in FULL_SCALE:
            raise DataError(
                f"a network takes uint8 or uint16 images, not {np.dtype(dtype)}; store them as such"
            )
        self.full_scale = FULL_SCALE[np.dtype(dtype)]
        self.shrink = shrink

    def forward(self, images: Tensor) -> Tensor:
        """(n, height, width, channels) of the stored dtype → (n, channels, height′, width′) float32."""
        # Sums of strided slices are four to eight times as fast as avg_pool2d on one core, and leave
        # the channels last in memory, which is what convolutions are fastest with.
        by = self.shrink
        height, width = images.shape[1] // by * by, images.shape[2] // by * by
        rows = sum_slices(images[:, :height, :width].float(), by, axis=1)
        blocks = sum_slices(rows, by, axis=2)
        return (blocks / (self.full_scale * by * by)).permute(0, 3, 1, 2)


def sum_slices(images: Tensor, by: int, axis: int) -> Tensor:
    """Add up each `by` neighbours along an axis of (n, height, width, channels)."""
    total = images[:, ::by] if axis == 1 else images[:, :, ::by]
    for start in range(1, by):
        total = total + (images[:, start::by] if axis == 1 else images[:, :, start::by])
    return total


class Normalise(nn.Module):
    """Centre and scale each channel by fixed numbers, learned from the training images.

    Parameters
    ----------
    mean, std : sequence of float
        One a channel, on the scale of `Pixels`' output.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, planes: Tensor) -> Tensor:
        """(n, channels, height, width) → the same shape."""
        return (planes - self.mean) / self.std


class Mean(nn.Module):
    """The mean of several networks' outputs for the same input.

    Parameters
    ----------
    members : sequence of torch.nn.Module
    mirrored : bool
        Whether the mean is over each image and its mirror image too, left and right exchanged.
    """

    def __init__(self, members: Sequence[nn.Module], *, mirrored: bool = False) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.mirrored = mirrored

    def forward(self, planes: Tensor) -> Tensor:
        """(n, channels, height, width) → what each member gives, averaged."""
        seen = [planes, planes.flip(-1)] if self.mirrored else [planes]
        return torch.stack([member(one) for member in self.members for one in seen]).mean(dim=0)


class ImageNetwork(nn.Module):
    """A whole network: `pixels`, then `body`. In training, augmentation stands between the two.

    Parameters
    ----------
    pixels : Pixels
    body : torch.nn.Module
        Takes what `pixels` gives.
    """

    def __init__(self, pixels: Pixels, body: nn.Module) -> None:
        super().__init__()
        self.pixels = pixels
        self.body = body

    def forward(self, images: Tensor) -> Tensor:
        """(n, height, width, channels) stored pixels → what `body` gives, for instance logits."""
        return cast(Tensor, self.body(self.pixels(images)))

    def with_body(self, body: nn.Module) -> ImageNetwork:
        """Give the same network with another body."""
        return ImageNetwork(self.pixels, body)
