"""The networks that redraw images: MONAI's, set up so that training starts from something sensible."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from monai.networks.nets import UNet, VarAutoEncoder
from torch import Tensor, nn
from torch.nn import functional as nnf

SLOPE = 0.2
"""Of the leaky rectifiers."""


class DenseAutoencoder(VarAutoEncoder):  # type: ignore[misc]
    """MONAI's variational autoencoder, redrawing an image as the mean image plus what its code says.

    Three strided convolutions, a dense code, three transposed convolutions. The last of them starts at zero,
    so that training starts from the mean image.

    Parameters
    ----------
    mean : (channels, height, width) float32 tensor
        Of the training images; the sides are multiples of 8.
    latent : int
        Length of the code.
    width : int
        Feature maps of the first stage; the other two have twice as many.
    """

    centre: Tensor

    def __init__(self, mean: Tensor, latent: int, width: int) -> None:
        super().__init__(
            spatial_dims=2,
            in_shape=tuple(mean.shape),
            out_channels=len(mean),
            latent_size=latent,
            channels=(width, 2 * width, 2 * width),
            strides=(2, 2, 2),
            norm="batch",
            act=("leakyrelu", {"negative_slope": SLOPE}),
            use_sigmoid=False,
            use_mean_at_inference=True,
        )
        self.register_buffer("centre", mean[None])
        for parameter in self.decode[-1].parameters():
            nn.init.zeros_(parameter)

    def encode_forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(n, c, h, w) → mean and log variance of the code, (n, latent) each.

        MONAI's own wants feature maps that lie in memory channel by channel; in training they may not.
        """
        flat = self.encode(x - self.centre).flatten(1)
        return self.mu(flat), self.logvar(flat)

    def redraw(self, codes: Tensor) -> Tensor:
        """(n, latent) → (n, c, h, w), about 0 to 1."""
        return cast(Tensor, self.decode_forward(codes, use_sigmoid=False)) + self.centre

    def forward(self, x: Tensor) -> Tensor:
        """Redraw (n, c, h, w) images from the mean of their codes."""
        return self.redraw(self.encode_forward(x)[0])

    def divergence(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        """Kullback-Leibler divergence of a code's distribution from the standard normal one, (n,)."""
        return -0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(dim=1)

    def loss_gradient(self, x: Tensor, beta: float) -> Tensor:
        """Gradient of ‖x − x̂‖² + β · divergence with respect to (n, c, h, w) images, in evaluation mode.

        Written out as a backward pass, since an exported graph has no automatic one.
        """
        maps, seeing = _pass(self.encode, x - self.centre)
        flat = maps.flatten(1)
        mean, log_variance = self.mu(flat), self.logvar(flat)
        start = self.decodeL(mean)
        drawing_from = start.clamp_min(0).view(maps.shape)
        drawn, drawing = _pass([stage.conv for stage in self.decode], drawing_from)
        apart = 2 * (drawn + self.centre - x)
        back = _pass_back([stage.conv for stage in self.decode], drawing, apart)
        to_mean = (back.flatten(1) * (start > 0)) @ self.decodeL.weight + beta * mean
        to_log_variance = 0.5 * beta * (log_variance.exp() - 1)
        inner = to_mean @ self.mu.weight + to_log_variance @ self.logvar.weight
        return _pass_back(list(self.encode), seeing, inner.view(maps.shape)) - apart


def _pass(blocks: Iterable[nn.Module], maps: Tensor) -> tuple[Tensor, list[Tensor | None]]:
    """Run MONAI's blocks of convolution, normalisation and rectifier, noting the rectifiers' slopes."""
    slopes: list[Tensor | None] = []
    for block in cast(Iterable[Any], blocks):
        maps = block.conv(maps)
        slopes.append(None)  # the block that draws the image is a convolution only
        if hasattr(block, "adn"):
            maps = block.adn.N(maps)
            slopes[-1] = torch.where(maps > 0, 1.0, SLOPE)
            maps = block.adn.A(maps)
    return maps, slopes


def _pass_back(blocks: Sequence[nn.Module], slopes: list[Tensor | None], gradient: Tensor) -> Tensor:
    """Take a gradient from the output of such blocks to their input."""
    for block, slope in zip(cast(Sequence[Any], blocks[::-1]), slopes[::-1], strict=True):
        if slope is not None:
            norm = block.adn.N
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            gradient = gradient * slope * scale.view(1, -1, 1, 1)
        weight = block.conv.weight
        if isinstance(block.conv, nn.ConvTranspose2d):
            gradient = nnf.conv2d(gradient, weight, stride=2, padding=1)
        else:
            gradient = nnf.conv_transpose2d(gradient, weight, stride=2, padding=1, output_padding=1)
    return gradient


class Denoiser(nn.Module):
    """MONAI's U-Net of three levels, which says what to take away from an image; at first nothing.

    Parameters
    ----------
    channels : int
        Of the images, 1 or 3.
    width : int
        Feature maps of the first level, then twice and four times as many.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        last = nn.Conv2d(width, channels, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(cast(Tensor, last.bias))
        self.noise = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            UNet(
                spatial_dims=2,
                in_channels=width,
                out_channels=width,
                channels=(width, 2 * width, 4 * width),
                strides=(2, 2),
                norm="batch",
                act=("leakyrelu", {"negative_slope": SLOPE}),
            ),
            nn.LeakyReLU(SLOPE),
            last,
        )

    def forward(self, x: Tensor) -> Tensor:
        """Clean (n, c, h, w) images, the sides being multiples of 4."""
        return x + cast(Tensor, self.noise(x))
