"""A small U-Net, from an image to the log odds of a lesion in each of its pixels; and what it learns by."""

from __future__ import annotations

from typing import cast

import torch
from monai.networks.nets import UNet as MonaiUNet
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from raresight.networks.pixels import Pixels

RARE = -4.0
"""Log odds of a lesion that an untrained network gives every pixel: few are ill."""

DARK = 0.08
"""Share of full scale up to which a pixel is taken for background."""


def unet(channels: int, *, width: int = 8, units: int = 1, dropout: float = 0.0) -> nn.Module:
    """Make a U-Net with residual units, MONAI's, from (n, channels, h, w) to (n, 1, h, w) log odds.

    Five levels of width, 2, 4, 8 and 16 times as many feature maps, the first at full resolution; 0.2
    million parameters at width 8, twice as many with two units.

    Source: Kerfoot, Clough, Oksuz, Lee, King & Schnabel, "Left-ventricle quantification using residual
    U-Net", STACOM 2018.

    Parameters
    ----------
    channels : int
    width : int
        Feature maps of the first level.
    units : int
        Convolutions in each residual unit.
    dropout : float
        Share of the feature maps' values dropped in training, 0 to below 1.
    """
    body = MonaiUNet(
        spatial_dims=2,
        in_channels=channels,
        out_channels=1,
        channels=tuple(width * 2**level for level in range(5)),
        strides=(1, 2, 2, 2),
        num_res_units=units,
        norm="batch",
        dropout=dropout,
    )
    last = [layer for layer in body.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)][-1]
    if last.bias is not None:
        nn.init.constant_(last.bias, RARE)
    return cast(nn.Module, body)


class Standardised(Pixels):
    """What `Pixels` gives, each channel of each image centred and scaled over the pixels that are not dark.

    How bright a whole image is then says nothing, and a lesion is as bright as it is beside its own tissue.
    """

    def forward(self, images: Tensor) -> Tensor:
        """(n, height, width, channels) of the stored dtype → (n, channels, height, width) float32."""
        planes = super().forward(images)
        tissue = (planes > DARK).float()
        count = tissue.sum(dim=(2, 3), keepdim=True).clamp_min(1)
        mean = (planes * tissue).sum(dim=(2, 3), keepdim=True) / count
        apart = (planes - mean) * tissue
        std = (apart.square().sum(dim=(2, 3), keepdim=True) / count).sqrt()
        return (planes - mean) / (std + 1e-3)


class TopMean(nn.Module):
    """The score of an image: the mean log odds of its likeliest pixels.

    Parameters
    ----------
    network : torch.nn.Module
        Gives (n, 1, h, w) log odds.
    share : float
        Of the pixels that count, at least one.
    """

    def __init__(self, network: nn.Module, share: float) -> None:
        super().__init__()
        self.network, self.share = network, share

    def forward(self, images: Tensor) -> Tensor:
        """Images of whatever kind the network takes → (n,)."""
        return top_mean(self.network(images), self.share)


class PixelShares(nn.Module):
    """From images to the probability of a lesion in each pixel.

    Parameters
    ----------
    network : torch.nn.Module
        Gives (n, 1, h, w) log odds.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Images of whatever kind the network takes → (n, h, w), 0 to 1."""
        return torch.sigmoid(self.network(images)[:, 0])


def top_mean(odds: Tensor, share: float) -> Tensor:
    """Give the mean of the largest `share` of (n, 1, h, w) values, at least one each: (n,)."""
    flat = odds.flatten(1)
    return torch.topk(flat, max(1, round(share * flat.shape[1])), dim=1).values.mean(dim=1)


class LesionLoss:
    """Cross-entropy of the pixels, and the Dice loss of the batch; one value a row.

    A lesion's pixel counts five times. The Dice loss is of the whole batch: that of a single image lies flat
    near 1 where there is little or no lesion. Images whose lesion is not known count for nothing.

    Source: cross-entropy and Dice together, batch Dice: Isensee, Jaeger, Kohl, Petersen & Maier-Hein,
    "nnU-Net: a self-configuring method for deep learning-based biomedical image segmentation", Nature
    Methods 2021.
    """

    lesion_weight = 5.0

    def __call__(self, odds: Tensor, maps: Tensor) -> Tensor:
        """Give (n,) losses from (n, 1, h, w) log odds, and maps: 1 = lesion, 0 = none, −1 = not known."""
        known = ~(maps < 0).flatten(1).any(dim=1)
        truth = maps.clamp_min(0)
        factor = torch.tensor(self.lesion_weight, device=odds.device)
        each = binary_cross_entropy_with_logits(odds, truth, pos_weight=factor, reduction="none")
        pixels = each.flatten(1).mean(dim=1)
        sure = torch.sigmoid(odds[known])
        overlap = (2 * (sure * truth[known]).sum() + 1) / (sure.sum() + truth[known].sum() + 1)
        return torch.where(known, pixels + 1 - overlap, 0.0)
