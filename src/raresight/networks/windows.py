"""Training on windows of images rather than whole ones, most of them around what is sought."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True, slots=True)
class Windows:
    """How windows are cut out of training images.

    A lesion of a hundred pixels in an image of ten thousand is a hundredth of what a network is told; in a
    window around it a thirtieth, and four windows cost as much as one image. Of every batch half the
    windows hold a lesion.

    Source: foreground oversampling of Isensee, Jaeger, Kohl, Petersen & Maier-Hein, "nnU-Net: a
    self-configuring method for deep learning-based biomedical image segmentation", Nature Methods 2021.

    Attributes
    ----------
    side : int
        Pixels of a window's side; no more than that of the images is used.
    each : int
        Windows of an image in an epoch.
    """

    side: int = 56
    each: int = 8

    def size(self, planes: Tensor) -> tuple[int, int]:
        """Give the height and width of a window in (n, channels, h, w) planes."""
        return min(self.side, planes.shape[2]), min(self.side, planes.shape[3])

    def place(self, theta: Tensor | None, maps: Tensor, generator: Generator) -> Tensor:
        """Turn the moves of whole images into those of a window of each.

        Parameters
        ----------
        theta : (n, 2, 3) tensor on the CPU, optional
            From `raresight.images.augment.draw_moves`; the window is turned and scaled about its centre.
        maps : (n, 1, h, w) tensor
            Above 0 on a lesion. The window lies about one, up to a third of its side off; without a lesion,
            anywhere within the image.
        generator : torch.Generator
            On the CPU.

        Returns
        -------
        (n, 2, 3) tensor on the CPU, for `raresight.images.augment.move`.
        """
        count, _, height, width = maps.shape
        share = torch.tensor([min(self.side, width) / width, min(self.side, height) / height])
        drawn = 2 * torch.rand((count, 2), generator=generator) - 1
        lesion = (maps.detach().cpu() > 0).float().squeeze(1)
        mass = lesion.sum(dim=(1, 2))
        x = (lesion.sum(dim=1) * pixel_places(width)).sum(dim=1) / mass.clamp_min(1)
        y = (lesion.sum(dim=2) * pixel_places(height)).sum(dim=1) / mass.clamp_min(1)
        around = torch.stack([x, y], dim=1) + drawn * share * 2 / 3
        centre = torch.where((mass > 0)[:, None], around, drawn * (1 - share))
        turn = torch.eye(2).expand(count, 2, 2) if theta is None else theta[:, :, :2]
        return torch.cat([turn * share, centre[:, :, None]], dim=2)


def pixel_places(length: int) -> Tensor:
    """Give the pixels' centres along an axis in grid_sample's coordinates, −1 to 1."""
    return (2 * torch.arange(length) + 1) / length - 1


def lesion_rates(ill: Tensor, known: Tensor) -> Tensor:
    """Give the rate at which each image is drawn, so that images with a lesion are half of all.

    Parameters
    ----------
    ill, known : (n,) bool tensors
        Whether the image has a lesion; whether it is known where. Others are not drawn.

    Returns
    -------
    (n,) float64 tensor.
    """
    rates = torch.zeros(len(ill), dtype=torch.float64)
    for rows in (ill & known, ~ill & known):
        rates[rows] = 0.5 / max(1, int(rows.sum()))
    return rates
