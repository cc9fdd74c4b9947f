"""Networks that learn to redraw normal images, and how far a redrawn image lies from the one seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as nnf

from raresight.errors import OptionError
from raresight.networks.pixels import ImageNetwork
from raresight.networks.redrawers import DenseAutoencoder

ErrorKind = Literal["l1", "l2", "ssim"]

SMOOTHING = 1 / 28
"""Deviation of the Gaussian that error maps are smoothed by, as a share of the side: 2 pixels of 56."""

SSIM_SIGMA = 1.5
SSIM_CONSTANTS = (0.01**2, 0.03**2)
"""The window's deviation and the constants of Wang et al. 2004, for values of 0 to 1."""


def blur(maps: Tensor, sigma: float) -> Tensor:
    """Smooth (n, c, h, w) maps by a Gaussian of `sigma` pixels; the border is repeated outwards."""
    reach = max(1, round(3 * sigma))
    at = torch.arange(-reach, reach + 1, dtype=maps.dtype, device=maps.device)
    window = torch.exp(-at.square() / (2 * sigma**2))
    window = window / window.sum()
    channels = maps.shape[1]
    down = window.view(1, 1, -1, 1).expand(channels, 1, -1, 1)
    padded = nnf.pad(maps, (reach, reach, reach, reach), mode="replicate")
    return nnf.conv2d(nnf.conv2d(padded, down, groups=channels), down.transpose(2, 3), groups=channels)


def dissimilarity(seen: Tensor, made: Tensor) -> Tensor:
    """One minus the structural similarity of (n, c, h, w) images at each pixel, 0 to 2.

    Source: Wang, Bovik, Sheikh & Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", IEEE Transactions on Image Processing 2004.
    """
    a, b = blur(seen, SSIM_SIGMA), blur(made, SSIM_SIGMA)
    spread_a = blur(seen.square(), SSIM_SIGMA) - a.square()
    spread_b = blur(made.square(), SSIM_SIGMA) - b.square()
    both = blur(seen * made, SSIM_SIGMA) - a * b
    level, contrast = SSIM_CONSTANTS
    likeness = (2 * a * b + level) * (2 * both + contrast)
    return 1 - likeness / ((a.square() + b.square() + level) * (spread_a + spread_b + contrast))


ERRORS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": lambda seen, made: (seen - made).abs(),
    "l2": lambda seen, made: (seen - made).square(),
    "ssim": dissimilarity,
}


def find_error(kind: str) -> Callable[[Tensor, Tensor], Tensor]:
    """Give the function from two (n, c, h, w) images to the error at each pixel; else `OptionError`."""
    if kind not in ERRORS:
        raise OptionError(f"unknown score {kind!r}; choose one of: {', '.join(get_args(ErrorKind))}")
    return ERRORS[kind]


def row_mean(maps: Tensor) -> Tensor:
    """(n, …) → (n,)."""
    return maps.flatten(1).mean(dim=1)


class Redrawing(nn.Module):
    """Base of what is trained: its output is its own loss, so that each kind can have another.

    Parameters
    ----------
    network : torch.nn.Module
        From (n, c, h, w) images to redrawn ones.
    error : {"l1", "l2", "ssim"}
        What `maps` shows, and what training makes small; for "ssim" training takes "l1", which settles the
        level of the grey values too.
    """

    def __init__(self, network: nn.Module, error: str) -> None:
        super().__init__()
        self.network = network
        self.error = find_error(error)
        self.miss = find_error("l1" if error == "ssim" else error)

    def forward(self, planes: Tensor) -> Tensor:
        """(n, c, h, w) images → (n,) losses."""
        return row_mean(self.miss(planes, self.network(self.spoilt(planes))))

    def spoilt(self, planes: Tensor) -> Tensor:
        """Give what the network sees in training in place of the image; here the image."""
        return planes

    def maps(self, planes: Tensor) -> Tensor:
        """(n, c, h, w) images → (n, 1, h, w) errors, smoothed, higher = more anomalous."""
        return blur(self.raw_maps(planes), planes.shape[-1] * SMOOTHING)

    def raw_maps(self, planes: Tensor) -> Tensor:
        """(n, c, h, w) images → (n, 1, h, w) errors."""
        return self.error(planes, self.network(planes)).mean(dim=1, keepdim=True)

    def draws(self) -> Generator:
        """Give the source of chance: torch's own in training; always the same draws in evaluation."""
        seed = int(torch.randint(2**31, (1,))) if self.training else 0
        return Generator().manual_seed(seed)


class Variational(Redrawing):
    """Codes are drawn from a distribution that is held near the standard normal one.

    Parameters
    ----------
    network : DenseAutoencoder
    error : str
    beta : float
        Weight of the divergence, whose sum is divided by the number of values in an image.
    """

    network: DenseAutoencoder

    def __init__(self, network: DenseAutoencoder, error: str, beta: float) -> None:
        super().__init__(network, error)
        self.beta = beta

    def forward(self, planes: Tensor) -> Tensor:
        """(n, c, h, w) images → (n,) negative evidence bounds, up to a constant and per value."""
        mean, log_variance = self.network.encode_forward(planes)
        drawn = self.network.redraw(self.network.reparameterize(mean, log_variance))
        divergence = self.network.divergence(mean, log_variance) / planes[0].numel()
        return row_mean(self.miss(planes, drawn)) + self.beta * divergence


class ContextEncoding(Redrawing):
    """Squares of the image are overwritten, and the whole is to be redrawn.

    Parameters
    ----------
    network : torch.nn.Module
    error : str
    squares : int
        An image, each of a side of 10 % to 25 % of the image's and of one random grey value.
    """

    def __init__(self, network: nn.Module, error: str, squares: int = 3) -> None:
        super().__init__(network, error)
        self.squares = squares

    def spoilt(self, planes: Tensor) -> Tensor:
        """Overwrite squares."""
        return masked(planes, self.squares, self.draws())


class ContextVariational(Variational):
    """Half the loss is variational, half context encoding; maps weigh errors by a gradient."""

    def forward(self, planes: Tensor) -> Tensor:
        """(n, c, h, w) images → (n,) losses."""
        context = self.miss(planes, self.network(masked(planes, 3, self.draws())))
        return 0.5 * super().forward(planes) + 0.5 * row_mean(context)

    def raw_maps(self, planes: Tensor) -> Tensor:
        """Error times the size of the loss's gradient, smoothed, (n, 1, h, w)."""
        gradient = self.network.loss_gradient(planes, self.beta).abs().mean(dim=1, keepdim=True)
        # Unsmoothed, it shows the strides of the convolutions rather than the image.
        return super().raw_maps(planes) * blur(gradient, planes.shape[-1] * SMOOTHING)


class Denoising(Redrawing):
    """Coarse Gaussian noise lies on the foreground and is to be taken away.

    Parameters
    ----------
    network : torch.nn.Module
    error : str
    noise : float
        Its deviation, of grey values of 0 to 1.
    cells : int
        It is drawn on a grid of so many cells a side, enlarged and shifted at random.
    """

    background = 0.02
    """Grey value up to which a pixel is background."""

    def __init__(self, network: nn.Module, error: str, noise: float, cells: int = 16) -> None:
        super().__init__(network, error)
        self.noise, self.cells = noise, cells

    def spoilt(self, planes: Tensor) -> Tensor:
        """Add the noise."""
        n, channels, height, width = planes.shape
        draws = self.draws()
        coarse = torch.randn(n, channels, self.cells, self.cells, generator=draws) * self.noise
        shift = [int(torch.randint(side, (1,), generator=draws)) for side in (height, width)]
        fine = nnf.interpolate(coarse, size=(height, width), mode="bilinear").roll(shift, dims=(2, 3))
        shown = planes.mean(dim=1, keepdim=True) > self.background
        return planes + fine.to(planes.device) * shown


def masked(planes: Tensor, squares: int, draws: Generator) -> Tensor:
    """Overwrite squares of each of (n, c, h, w) images by random grey values."""
    spoilt = planes.clone()
    side = min(planes.shape[2:])
    for image in spoilt:
        for _ in range(squares):
            size = int(torch.randint(side // 10, side // 4 + 1, (1,), generator=draws))
            top, left = (int(torch.randint(s - size + 1, (1,), generator=draws)) for s in image.shape[1:])
            image[:, top : top + size, left : left + size] = float(torch.rand(1, generator=draws))
    return spoilt


class TopShare(nn.Module):
    """The mean of an error map's highest values: a small lesion is not drowned by the rest of the image.

    Parameters
    ----------
    body : torch.nn.Module
        Has ``maps``, from images to (n, 1, h, w).
    share : float
        Of the pixels, above 0 to 1.
    """

    def __init__(self, body: Redrawing, share: float) -> None:
        super().__init__()
        self.body, self.share = body, share

    def forward(self, planes: Tensor) -> Tensor:
        """(n, c, h, w) → (n,)."""
        values = self.body.maps(planes).flatten(1)
        highest = max(1, round(self.share * values.shape[1]))
        return values.topk(highest, dim=1).values.mean(dim=1)


class ErrorMaps(nn.Module):
    """From stored pixels to smoothed error maps.

    Parameters
    ----------
    network : ImageNetwork
        Of a `Redrawing`.
    """

    def __init__(self, network: ImageNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """(n, height, width, channels) → (n, height′, width′), from 0 on."""
        body: Any = self.network.body
        maps: Tensor = body.maps(self.network.pixels(images))
        return maps[:, 0]
