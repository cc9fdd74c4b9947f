"""An autoencoder that grows by resolution, and what pretrained features see of its errors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

import torch
from monai.networks.blocks import Convolution
from torch import Tensor, nn
from torch.nn import functional as nnf

from raresight.networks.lite0 import Lite0
from raresight.networks.pixels import sum_slices
from raresight.networks.reconstruction import Redrawing, row_mean

LEVELS = 3
"""Resolutions that the autoencoder is trained at, each twice the one before."""

BLOCKS = (2, 4, 10)
"""Blocks of lite0 whose maps are compared: at 112 pixels 24 × 28², 40 × 14² and 112 × 7²."""

LEAST_SIDE = 56
"""Smaller images are enlarged for lite0, whose maps would otherwise shrink to nothing."""


class GrowingAutoencoder(nn.Module):
    """A convolutional autoencoder with a dense code whose outer stages are added one after the other.

    At level k it works on images averaged by 2ᵏ; level 0 is the whole network. Source: Karras, Aila, Laine &
    Lehtinen, "Progressive growing of GANs", ICLR 2018, without the gradual fading in of a new stage.

    Parameters
    ----------
    channels : int
        1 or 3.
    sides : (int, int)
        Height and width at level 0, multiples of 8.
    latent : int
        Length of the code.
    width : int
        Feature maps of the first stage, then twice as many.
    """

    def __init__(self, channels: int, sides: tuple[int, int], latent: int, width: int) -> None:
        super().__init__()
        widths = [width, *[2 * width] * LEVELS]
        inner = (widths[-1], sides[0] // 2**LEVELS, sides[1] // 2**LEVELS)
        size = inner[0] * inner[1] * inner[2]
        pairs = list(pairwise(widths))
        self.seeing = nn.ModuleList(nn.Conv2d(channels, one, 1) for one, _ in pairs)
        self.down = nn.ModuleList(_stage(one, two, 2) for one, two in pairs)
        self.code = nn.Sequential(nn.Flatten(), nn.Linear(size, latent))
        self.back = nn.Sequential(nn.Linear(latent, size), nn.Unflatten(1, inner))
        self.up = nn.ModuleList(_stage(two, one, 1) for one, two in pairs)
        self.drawing = nn.ModuleList(nn.Conv2d(one, channels, 1) for one, _ in pairs)
        self.level = 0

    def forward(self, x: Tensor) -> Tensor:
        """Redraw (n, c, h, w) images of the present level's size."""
        maps = self.seeing[self.level](x)
        for stage in list(self.down)[self.level :]:
            maps = stage(maps)
        maps = self.back(self.code(maps))
        for stage in list(self.up)[self.level :][::-1]:
            maps = stage(nnf.interpolate(maps, scale_factor=2.0, mode="nearest"))
        return cast(Tensor, self.drawing[self.level](maps))


def _stage(inner: int, outer: int, stride: int) -> nn.Module:
    stage: nn.Module = Convolution(
        2, inner, outer, strides=stride, norm="batch", act=("leakyrelu", {"negative_slope": 0.2})
    )
    return stage


class Perceptual(Redrawing):
    """The relative distance of pretrained features is both loss and score.

    Features f of lite0, each channel centred and scaled by its mean and deviation over normal training
    images; the loss is ‖f(x) − f(x̂)‖₁ / ‖f(x)‖₁, averaged over `BLOCKS`.

    Parameters
    ----------
    network : GrowingAutoencoder
    features : Features
    relative : bool
        Whether the map, like the loss, is divided by ‖f(x)‖₁ of the image.
    """

    network: GrowingAutoencoder

    def __init__(self, network: GrowingAutoencoder, features: Features, *, relative: bool = True) -> None:
        super().__init__(network, "l1")
        self.features = features
        self.relative = relative

    def train(self, mode: bool = True) -> Perceptual:
        """Turn training on or off; the pretrained part is never trained."""
        super().train(mode)
        self.features.eval()
        return self

    def forward(self, planes: Tensor) -> Tensor:
        """(n, c, h, w) images → (n,) losses at the present level."""
        seen = _shrunk(planes, 2**self.network.level)
        with torch.no_grad():
            wanted = self.features(seen)
        pairs = zip(wanted, self.features(self.network(seen)), strict=True)
        losses = [row_mean((a - b).abs()) / row_mean(a.abs()) for a, b in pairs]
        return torch.stack(losses).mean(dim=0)

    def raw_maps(self, planes: Tensor) -> Tensor:
        """Distances of the features, enlarged and averaged over the blocks, (n, 1, h, w)."""
        found = []
        for a, b in zip(self.features(planes), self.features(self.network(planes)), strict=True):
            apart = (a - b).abs().mean(dim=1, keepdim=True)
            if self.relative:
                apart = apart / row_mean(a.abs()).view(-1, 1, 1, 1)
            found.append(nnf.interpolate(apart, size=planes.shape[2:], mode="bilinear"))
        return torch.stack(found).mean(dim=0)


class Features(nn.Module):
    """The frozen feature maps of lite0, its channels scaled by what normal images give."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Lite0()
        self.trunk.requires_grad_(False)
        for number in range(len(BLOCKS)):
            self.register_buffer(f"mean_{number}", torch.zeros(1))
            self.register_buffer(f"deviation_{number}", torch.ones(1))

    def learn(self, batches: Sequence[Tensor]) -> None:
        """Take each channel's mean and deviation over batches of (n, c, h, w) normal images."""
        with torch.inference_mode():
            found = [self._maps(batch) for batch in batches]
        for number in range(len(BLOCKS)):
            maps = torch.cat([each[number] for each in found])
            deviation, mean = torch.std_mean(maps, dim=(0, 2, 3), keepdim=True)
            setattr(self, f"mean_{number}", mean.clone())
            setattr(self, f"deviation_{number}", deviation.clamp_min(1e-3).clone())

    def forward(self, planes: Tensor) -> list[Tensor]:
        """(n, 1 or 3, h, w) images of 0 to 1 → scaled maps, one tensor a block."""
        return [
            (maps - getattr(self, f"mean_{number}")) / getattr(self, f"deviation_{number}")
            for number, maps in enumerate(self._maps(planes))
        ]

    def _maps(self, planes: Tensor) -> list[Tensor]:
        by = -(-LEAST_SIDE // min(planes.shape[2:]))
        if by > 1:
            planes = nnf.interpolate(planes, scale_factor=float(by), mode="bilinear")
        colour = planes.expand(-1, 3, -1, -1)
        return self.trunk.maps((colour * 255 - 127) / 128, BLOCKS)


def _shrunk(planes: Tensor, by: int) -> Tensor:
    if by == 1:
        return planes
    last = planes.permute(0, 2, 3, 1)
    return (sum_slices(sum_slices(last, by, axis=1), by, axis=2) / by**2).permute(0, 3, 1, 2)
