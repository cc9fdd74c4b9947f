"""Vision transformers small enough for a few hundred images: MONAI's ViT, and its Swin stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from einops import rearrange
from monai.networks.blocks import PatchEmbed
from monai.networks.nets import PatchMerging, ViT
from monai.networks.nets.swin_unetr import BasicLayer
from torch import Tensor, nn

from raresight.errors import DataError, OptionError


def check_patches(side: int, patch: int, name: str, option: str = "patch") -> None:
    """Refuse a side that whole patches do not fill; `option` is what the detector calls their size.

    Raises
    ------
    DataError
        If an image is smaller than a patch.
    OptionError
        If patches do not divide the side.
    """
    if patch < 1:
        raise OptionError(f"{name}[{option}={patch}] is too small; choose at least 1")
    if side < patch:
        raise DataError(
            f"images of {side} × {side} pixels are smaller than {name}'s patches of {patch} × {patch}; "
            "take larger images or a smaller patch"
        )
    if side % patch:
        whole = [p for p in range(1, side + 1) if side % p == 0]
        nearest = min(whole, key=lambda p: abs(p - patch))
        raise OptionError(
            f"{name}[{option}={patch}] does not divide images of {side} × {side} pixels; choose {nearest}, "
            "or another size of pixels"
        )


def check_stem(patch: int, name: str) -> None:
    """Refuse a patch that halvings do not give.

    Raises
    ------
    OptionError
        If it is no power of 2, at least 2.
    """
    if patch < 2 or patch & (patch - 1):
        raise OptionError(
            f"{name}[patch={patch}] is no power of 2, which the convolutional stem needs; choose 4, 8 or 16, "
            "or stem=false"
        )


def check_heads(width: int, heads: int, name: str) -> None:
    """Refuse a width that attention heads do not share evenly.

    Raises
    ------
    OptionError
        If so.
    """
    if heads < 1 or width < 8 or width % heads or width % 8:
        raise OptionError(
            f"{name}[width={width},heads={heads}] cannot be built: the width must be a multiple of 8 and of "
            "the number of heads"
        )


class VisionTransformer(nn.Module):
    """MONAI's ViT whose tokens are averaged before the last layer, with a convolutional stem if wanted.

    On few images the mean of the tokens serves better than a class token (Zhai et al. 2022), and a few
    convolutions before the patches better than patches of raw pixels (Xiao et al., "Early convolutions help
    transformers see better", NeurIPS 2021).

    Parameters
    ----------
    channels : int
        1 or 3.
    side : int
        Of the square images, a multiple of `patch`.
    patch : int
        Pixels a side; with the stem a power of 2.
    width : int
        Length of a token.
    depth : int
        Blocks.
    heads : int
    mlp_ratio : float
        Units between a block's two linear layers, as a multiple of the width.
    dropout : float
        Of tokens, attention and linear layers, and of the pooled token.
    stem : bool
        Whether convolutions of stride 2 take the place of patches.
    outputs : int
        Logits.
    """

    def __init__(
        self,
        channels: int,
        side: int,
        *,
        patch: int = 8,
        width: int = 96,
        depth: int = 4,
        heads: int = 4,
        mlp_ratio: float = 2.0,
        dropout: float = 0.1,
        stem: bool = True,
        outputs: int = 2,
    ) -> None:
        super().__init__()
        self.stem = convolutional_stem(channels, width, patch) if stem else nn.Identity()
        self.transformer = ViT(
            width if stem else channels,
            side // patch if stem else side,
            1 if stem else patch,
            hidden_size=width,
            mlp_dim=round(mlp_ratio * width),
            num_layers=depth,
            num_heads=heads,
            dropout_rate=dropout,
            spatial_dims=2,
            qkv_bias=True,
        )
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(width, outputs))

    def forward(self, planes: Tensor) -> Tensor:
        """(n, channels, side, side) → (n, outputs)."""
        tokens = self.transformer(self.stem(planes))[0]
        return cast(Tensor, self.head(tokens.mean(dim=1)))


def convolutional_stem(channels: int, width: int, patch: int) -> nn.Sequential:
    """Build pairs of 3 × 3 convolutions that shrink by `patch`, the planes doubling up to `width`.

    Returns
    -------
    torch.nn.Sequential
        (n, channels, h, w) → (n, width, h / patch, w / patch).
    """
    layers: list[nn.Module] = []
    for left in range(patch.bit_length() - 2, -1, -1):
        # Multiples of 8, see `raresight.networks.training.fast_layout`.
        planes = max(8, width // 2**left // 8 * 8)
        for inner, stride in ((channels, 2), (planes, 1)):
            layers += [nn.Conv2d(inner, planes, 3, stride, 1, bias=False), nn.BatchNorm2d(planes), nn.ReLU()]
        channels = planes
    return nn.Sequential(*layers)


class SwinStage(nn.Module):
    """Blocks of attention within windows, every second one within shifted windows; then, if wanted, merging.

    Parameters
    ----------
    width : int
        Length of a token.
    depth : int
        Blocks; two make one pair of plain and shifted windows.
    heads : int
    window : int
        Tokens a side.
    dropout : float
    drop_path : sequence of float
        Each block's chance to be left out for an image in training (Huang et al. 2016).
    merge : bool
        Whether squares of 2 × 2 tokens become one of twice the length afterwards.
    """

    def __init__(
        self,
        width: int,
        depth: int,
        heads: int,
        *,
        window: int = 7,
        dropout: float = 0.0,
        drop_path: Sequence[float] | None = None,
        merge: bool = False,
    ) -> None:
        super().__init__()
        # Any module class given as `downsample` is built by the layer itself.
        self.layer = BasicLayer(
            dim=width,
            depth=depth,
            num_heads=heads,
            window_size=(window, window),
            drop_path=list(drop_path or [0.0] * depth),
            qkv_bias=True,
            drop=dropout,
            downsample=PatchMerging if merge else None,
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, width, h, w) → the same, or merged (n, 2 · width, h / 2, w / 2)."""
        return cast(Tensor, self.layer(tokens.contiguous()))


class SwinClassifier(nn.Module):
    """Stages of shifted-window attention; the last tokens are normalised and averaged.

    MONAI's `SwinTransformer` has four stages always, and merges after the last; this one is of its parts.

    Parameters
    ----------
    channels : int
    patch : int
        Pixels a side; with the stem a power of 2.
    width : int
        Length of a token in the first stage; it doubles in each further one.
    depths, heads : sequence of int
        One a stage.
    window : int
        Tokens a side.
    dropout : float
        Of linear layers and of the pooled token.
    drop_path : float
        Of the last block; it grows evenly from 0 in the first.
    stem : bool
        Whether convolutions of stride 2 take the place of patches.
    outputs : int
        Logits.
    """

    def __init__(
        self,
        channels: int,
        *,
        patch: int = 4,
        width: int = 24,
        depths: Sequence[int] = (2, 2, 2),
        heads: Sequence[int] = (2, 4, 8),
        window: int = 7,
        dropout: float = 0.0,
        drop_path: float = 0.1,
        stem: bool = True,
        outputs: int = 2,
    ) -> None:
        super().__init__()
        self.embed = (
            convolutional_stem(channels, width, patch)
            if stem
            else PatchEmbed(patch, channels, width, nn.LayerNorm, spatial_dims=2)
        )
        total, first, stages = sum(depths), 0, []
        for number, (depth, some) in enumerate(zip(depths, heads, strict=True)):
            chances = [drop_path * block / max(1, total - 1) for block in range(first, first + depth)]
            stages.append(
                SwinStage(
                    width * 2**number,
                    depth,
                    some,
                    window=window,
                    dropout=dropout,
                    drop_path=chances,
                    merge=number < len(depths) - 1,
                )
            )
            first += depth
        self.stages = nn.Sequential(*stages)
        last = width * 2 ** (len(depths) - 1)
        self.norm = nn.LayerNorm(last)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(last, outputs))

    def forward(self, planes: Tensor) -> Tensor:
        """(n, channels, height, width) → (n, outputs)."""
        tokens = self.norm(rearrange(self.stages(self.embed(planes)), "n c h w -> n (h w) c"))
        return cast(Tensor, self.head(tokens.mean(dim=1)))
