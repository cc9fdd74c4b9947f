"""Masked autoencoders of images: what is hidden is redrawn from what is seen."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from typing import cast

import numpy as np
import torch
from einops import rearrange
from monai.networks.blocks import PatchEmbed
from monai.networks.nets import MaskedAutoEncoderViT
from torch import Tensor, nn
from torch.nn import functional as nnf

from raresight.networks.pixels import ImageNetwork, Pixels
from raresight.networks.rows import ImageArray, blocks, read_block
from raresight.networks.transformers import SwinStage

FLAT = 0.1
"""Deviation below which a patch counts as flat when patches are normalised, on the scale of `Masked`."""


class Redrawer(nn.Module):
    """Redraws an image's hidden units from the others; a unit is a square of pixels, hidden as a whole.

    Attributes
    ----------
    unit : int
        Pixels a side.
    """

    unit: int

    @abstractmethod
    def redraw(self, planes: Tensor, order: Tensor, visible: int) -> Tensor:
        """Redraw whole images of which only some units are seen.

        Parameters
        ----------
        planes : (n, channels, side, side) tensor
        order : (n or 1, units) int64 tensor
            Each image's units, those that are seen first.
        visible : int
            How many are seen.

        Returns
        -------
        (n, channels, side, side) tensor
        """


class MaskedViT(Redrawer):
    """MONAI's masked autoencoder of ViT blocks, with masks that are given rather than drawn inside.

    The encoder gets only the tokens that are seen; the decoder, smaller, gets them and mask tokens in their
    places. Source: He et al., "Masked autoencoders are scalable vision learners", CVPR 2022.

    Parameters
    ----------
    channels, side : int
    patch : int
        Pixels a side of a token, which is also a unit.
    width, depth, heads : int
        Of the encoder.
    decoder_width, decoder_depth : int
        Of the decoder, with as many heads.
    """

    def __init__(
        self,
        channels: int,
        side: int,
        *,
        patch: int,
        width: int,
        depth: int,
        heads: int,
        decoder_width: int,
        decoder_depth: int,
    ) -> None:
        super().__init__()
        self.unit, self.grid, self.channels = patch, side // patch, channels
        with warnings.catch_warnings():
            # MONAI calls torch.meshgrid without naming its order.
            warnings.simplefilter("ignore", UserWarning)
            self.parts = MaskedAutoEncoderViT(
                channels,
                side,
                patch,
                hidden_size=width,
                mlp_dim=2 * width,
                num_layers=depth,
                num_heads=heads,
                decoder_hidden_size=decoder_width,
                decoder_mlp_dim=2 * decoder_width,
                decoder_num_layers=decoder_depth,
                decoder_num_heads=heads,
                spatial_dims=2,
                qkv_bias=True,
            )

    def redraw(self, planes: Tensor, order: Tensor, visible: int) -> Tensor:
        """See `Redrawer.redraw`."""
        parts = self.parts
        tokens = parts.patch_embedding(planes)
        order = order.expand(tokens.shape[0], -1)  # len() would fix the number of rows in a graph
        seen = _pick(tokens, order[:, :visible])
        seen = torch.cat([parts.cls_token.expand(seen.shape[0], -1, -1), seen], dim=1)
        seen = parts.decoder_embed(parts.blocks(seen))
        hidden = parts.mask_tokens.expand(seen.shape[0], order.shape[1] - visible, -1)
        whole = _pick(torch.cat([seen[:, 1:], hidden], dim=1), _inverse(order))
        whole = torch.cat([seen[:, :1], whole + parts.decoder_pos_embedding], dim=1)
        patches = parts.decoder_pred(parts.decoder_blocks(whole))[:, 1:]
        return to_planes(patches, self.grid, self.unit)


class MaskedSwin(Redrawer):
    """Masked autoencoder of shifted-window attention, with a patch expanding decoder and no skips.

    Every token enters the encoder, the hidden ones as one mask token; windows of several tokens are hidden as
    a whole. Source: Xu et al., "Swin MAE: masked autoencoders for small datasets", Computers in Biology and
    Medicine 161 (2023).

    Parameters
    ----------
    channels, side : int
    patch : int
        Pixels a side of a token.
    unit : int
        Pixels a side of what is hidden as a whole, a multiple of `patch`.
    width : int
        Length of a token in the first stage; the second has twice that.
    depth, heads, window : int
        Of each stage; the second has twice as many heads.
    """

    def __init__(
        self,
        channels: int,
        side: int,
        *,
        patch: int,
        unit: int,
        width: int,
        depth: int,
        heads: int,
        window: int,
    ) -> None:
        super().__init__()
        self.unit, self.grid, self.patch = unit, side // patch, patch
        self.embed = PatchEmbed(patch, channels, width, nn.LayerNorm, spatial_dims=2)
        self.mask_token = nn.Parameter(0.02 * torch.randn(1, width, 1, 1))
        self.place = nn.Parameter(0.02 * torch.randn(1, width, self.grid, self.grid))
        self.encoder = nn.Sequential(
            SwinStage(width, depth, heads, window=window, merge=True),
            SwinStage(2 * width, depth, 2 * heads, window=window),
        )
        self.expand = nn.Conv2d(2 * width, 4 * width, 1)
        self.decoder = SwinStage(width, depth, heads, window=window)
        self.norm = nn.LayerNorm(width)
        self.to_pixels = nn.Linear(width, channels * patch * patch)

    def redraw(self, planes: Tensor, order: Tensor, visible: int) -> Tensor:
        """See `Redrawer.redraw`."""
        hidden = to_planes(hidden_units(order, visible)[..., None].float(), planes.shape[-1] // self.unit, 1)
        hidden = hidden.repeat_interleave(self.unit // self.patch, 2)
        hidden = hidden.repeat_interleave(self.unit // self.patch, 3)
        tokens = self.embed(planes)
        tokens = tokens * (1 - hidden) + self.mask_token * hidden + self.place
        tokens = nnf.pixel_shuffle(self.expand(self.encoder(tokens)), 2)
        tokens = self.norm(rearrange(self.decoder(tokens + self.place), "n c h w -> n (h w) c"))
        return to_planes(self.to_pixels(tokens), self.grid, self.patch)


class Masked(nn.Module):
    """Masks images, has them redrawn, and compares what was hidden.

    Images are standardised first: less the mean training image, by the deviation from it. In training each
    image draws its own mask from torch's generator; otherwise the units are cut into fixed segments and these
    hidden in turn, several at once, so that each unit is hidden equally often.

    Parameters
    ----------
    redrawer : Redrawer
    mean : (channels, side, side) tensor
        The mean training image.
    std : float
        Root of the mean squared deviation from it.
    mask_ratio : float
        Share of units that is hidden, above 0 and below 1.
    segments : int
        Of one size, into which the units are cut, at least 2.
    rounds : int
        How often they are cut, differently each time.
    norm_pix : bool
        Whether each unit's pixels are centred and scaled before they are compared.
    seed : int
        Of the cuts.
    """

    mean: Tensor
    orders: Tensor

    def __init__(
        self,
        redrawer: Redrawer,
        mean: Tensor,
        std: float,
        *,
        mask_ratio: float,
        segments: int,
        rounds: int = 1,
        norm_pix: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.redrawer, self.std, self.norm_pix = redrawer, std, norm_pix
        self.grid = mean.shape[-1] // redrawer.unit
        units = self.grid**2
        self.visible = min(units - 1, max(1, round((1 - mask_ratio) * units)))
        at_once = min(segments - 1, max(1, round(mask_ratio * segments)))
        self.times = at_once * rounds
        self.unmasked = units - at_once * (units // segments)
        orders = segment_orders(units, segments, rounds, seed)
        self.register_buffer("mean", mean[None])
        self.register_buffer("orders", orders)

    def standardise(self, planes: Tensor) -> Tensor:
        """(n, channels, side, side), 0 to 1 → the same shape."""
        return (planes - self.mean) / self.std

    def forward(self, planes: Tensor) -> Tensor:
        """Give each image's mean squared error where it was hidden, (n,): the loss.

        In training by a random mask; else by one of the fixed masks, another for each image of a batch.
        """
        seen = self.standardise(planes)
        units, visible = self.grid**2, self.visible if self.training else self.unmasked
        if self.training:
            order = torch.rand(len(seen), units, device=seen.device).argsort(dim=1)
        else:
            order = self.orders[torch.arange(len(seen), device=seen.device) % len(self.orders)]
        error = self.residual(seen, order, visible).square().sum(dim=(1, 2, 3))
        return error / ((units - visible) * self.redrawer.unit**2 * seen.shape[1])

    def residual_map(self, planes: Tensor) -> Tensor:
        """Average what was redrawn less what is there over all masks, (n, channels, side, side)."""
        seen = self.standardise(planes)
        count, n = self.orders.shape[0], seen.shape[0]
        # All masks of all images in one batch: one pass in the exported graph, however many masks.
        many = seen[None].expand(count, *seen.shape).flatten(0, 1)
        order = self.orders[:, None].expand(count, n, self.grid**2).flatten(0, 1)
        apart = self.residual(many, order, self.unmasked)
        return apart.view(count, n, *seen.shape[1:]).sum(dim=0) / self.times

    def residual(self, seen: Tensor, order: Tensor, visible: int) -> Tensor:
        """Give what is redrawn less what is there, of standardised images; 0 where a pixel is seen."""
        unit = self.redrawer.unit
        hidden = to_planes(hidden_units(order, visible)[..., None].float(), self.grid, 1)
        hidden = hidden.repeat_interleave(unit, 2).repeat_interleave(unit, 3)
        return (self.redrawer.redraw(seen, order, visible) - self.target(seen)) * hidden

    def target(self, seen: Tensor) -> Tensor:
        """Give what is to be redrawn of standardised images, the same shape."""
        if not self.norm_pix:
            return seen
        patches = to_patches(seen, self.redrawer.unit)
        apart = patches - patches.mean(dim=2, keepdim=True)
        deviation = (apart.square().mean(dim=2, keepdim=True) + FLAT**2).sqrt()
        return to_planes(apart / deviation, self.grid, self.redrawer.unit)


class ErrorMap(nn.Module):
    """From stored pixels to error maps: the absolute value of the smoothed residual, averaged over channels.

    Smoothed before the absolute value is taken: noise and fine edges, redrawn now too dark and now too
    bright, cancel out, where a lesion is off as a whole.

    Parameters
    ----------
    network : ImageNetwork
        Of a `Masked`.
    smoothing : int
        Side of the square, odd, over which residuals are averaged; beyond the edge nothing is counted.
    """

    def __init__(self, network: ImageNetwork, smoothing: int) -> None:
        super().__init__()
        self.network, self.smoothing = network, smoothing

    def forward(self, images: Tensor) -> Tensor:
        """(n, side, side, channels) → (n, side, side), from 0 on."""
        body = cast(Masked, self.network.body)
        residual = body.residual_map(self.network.pixels(images))
        side = self.smoothing
        return nnf.avg_pool2d(residual, side, 1, side // 2, count_include_pad=False).abs().mean(dim=1)


class TopMean(nn.Module):
    """The score of a map: the mean of its highest places.

    Parameters
    ----------
    top : float
        Their share of all places, above 0 and at most 1.
    """

    def __init__(self, top: float) -> None:
        super().__init__()
        self.top = top

    def forward(self, maps: Tensor) -> Tensor:
        """(n, h, w) → (n,)."""
        flat = maps.flatten(1)
        return torch.topk(flat, max(1, round(self.top * flat.shape[1])), dim=1).values.mean(dim=1)


def segment_orders(units: int, segments: int, rounds: int, seed: int) -> Tensor:
    """Cut units into segments of one size at random, and give each segment its turn to stand first.

    Returns
    -------
    (rounds · segments, units) int64 tensor
        Whatever number of segments at the end is hidden, over all rows each unit is hidden equally often.
    """
    random = np.random.default_rng(seed)
    orders = []
    for _ in range(rounds):
        parts = random.permutation(units).reshape(segments, units // segments)
        orders += [np.roll(parts, -first, axis=0).ravel() for first in range(segments)]
    return torch.from_numpy(np.stack(orders))


def hidden_units(order: Tensor, visible: int) -> Tensor:
    """Tell of each unit whether it is hidden, (n, units) bool."""
    return _inverse(order) >= visible


def to_patches(planes: Tensor, side: int) -> Tensor:
    """(n, c, h, w) → (n, patches, c · side²)."""
    return rearrange(planes, "n c (h p) (w q) -> n (h w) (c p q)", p=side, q=side)


def to_planes(patches: Tensor, grid: int, side: int) -> Tensor:
    """(n, grid², c · side²) → (n, c, grid · side, grid · side)."""
    return rearrange(patches, "n (h w) (c p q) -> n c (h p) (w q)", h=grid, w=grid, p=side, q=side)


def mean_image(images: ImageArray, pixels: Pixels) -> tuple[Tensor, float]:
    """Mean image, (channels, h, w), and the root of the mean squared deviation from it, above 0."""
    total, squares = torch.zeros(()), 0.0
    for rows in blocks(len(images), 64):
        planes = pixels(read_block(images, rows)).double()
        total = total + planes.sum(dim=0)
        squares += float(planes.square().sum())
    mean = total / len(images)
    variance = squares / (len(images) * mean.numel()) - float(mean.square().mean())
    return mean.float(), math.sqrt(max(variance, 1e-6))


def _pick(tokens: Tensor, which: Tensor) -> Tensor:
    """Take the tokens (n, m, width) that (n, k) numbers name."""
    return tokens.gather(1, which[..., None].expand(-1, -1, tokens.shape[2]))


def _inverse(order: Tensor) -> Tensor:
    """Give each unit's place in the order."""
    return order.argsort(dim=1)
