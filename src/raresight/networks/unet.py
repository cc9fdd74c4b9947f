"""A small U-Net, from an image to the log odds of a lesion in each of its pixels; and what it learns by."""

from __future__ import annotations

from typing import cast

import torch
from monai.losses import DiceLoss
from monai.networks.nets import UNet as MonaiUNet
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from raresight.networks.training import Loss

RARE = -4.0
"""Log odds of a lesion that an untrained network gives every pixel: few are ill."""


def unet(channels: int, *, width: int = 16, units: int = 1, dropout: float = 0.0) -> nn.Module:
    """Make a U-Net with residual units, MONAI's, from (n, channels, h, w) to (n, 1, h, w) log odds.

    Four levels of width, 2 · width, 4 · width and 8 · width feature maps at half, a quarter, an eighth and an
    eighth of the resolution; 0.2 million parameters at width 16, twice as many with two units.

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
        channels=tuple(width * 2**level for level in range(4)),
        strides=(2, 2, 2),
        num_res_units=units,
        norm="batch",
        dropout=dropout,
    )
    last = [layer for layer in body.modules() if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)][-1]
    if last.bias is not None:
        nn.init.constant_(last.bias, RARE)
    return cast(nn.Module, body)


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
    """Cross-entropy and Dice loss of the pixels, and cross-entropy of the image's score; one value a row.

    The cross-entropy is the mean over the lesion's pixels plus that over the others. The Dice loss is of
    images with a lesion only: that of others lies flat near 1 until hardly any pixel is called ill,
    and drowns the few lesions. An anomalous image whose lesion is not known counts by its score only.

    Source: cross-entropy and Dice together: Isensee, Jaeger, Kohl, Petersen & Maier-Hein, "nnU-Net: a
    self-configuring method for deep learning-based biomedical image segmentation", Nature Methods 2021.

    Parameters
    ----------
    share : float
        As for `top_mean`.
    image_weight : float
        Of the image's cross-entropy, 0 or more.
    image_loss : callable, optional
        In the place of that cross-entropy: from (n, 2) logits and class shares to (n,) losses.
    """

    def __init__(self, share: float, image_weight: float, image_loss: Loss | None = None) -> None:
        self.share, self.image_weight, self.image_loss = share, image_weight, image_loss
        self.dice = DiceLoss(sigmoid=True, reduction="none", smooth_nr=1.0, smooth_dr=1.0)

    def __call__(self, odds: Tensor, maps: Tensor) -> Tensor:
        """Give (n,) losses from (n, 1, h, w) log odds, and maps: 1 = lesion, 0 = none, −1 = not known."""
        known = ~(maps < 0).flatten(1).any(dim=1)
        truth = maps.clamp_min(0)
        each = binary_cross_entropy_with_logits(odds, truth, reduction="none").flatten(1)
        ill = truth.flatten(1)
        well = 1 - ill
        # Fewer than one pixel in a hundred is ill: in one mean over all, lesions would count for nothing.
        pixels = (each * ill).sum(dim=1) / ill.sum(dim=1).clamp_min(1)
        pixels = pixels + (each * well).sum(dim=1) / well.sum(dim=1).clamp_min(1)
        dice = torch.where(ill.any(dim=1), self.dice(odds, truth).flatten(), 0.0)
        return torch.where(known, pixels + dice, 0.0) + self.image_weight * self._of_images(odds, maps)

    def _of_images(self, odds: Tensor, maps: Tensor) -> Tensor:
        anomalous = (maps != 0).flatten(1).any(dim=1).float()
        score = top_mean(odds, self.share)
        logits = torch.stack([-score / 2, score / 2], dim=1)
        shares = torch.stack([1 - anomalous, anomalous], dim=1)
        if self.image_loss is not None:
            return self.image_loss(logits, shares)
        return cross_entropy(logits, shares, reduction="none")
