"""Augmentation of training batches: rotation, flips, scaling, as in section 3.2 of the paper."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn.functional import affine_grid, grid_sample

from raresight.errors import OptionError


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far a training image may be moved; each image of a batch draws its own numbers.

    Attributes
    ----------
    rotation : float
        Largest angle, in degrees, to either side; 180 is any angle.
    scale : (float, float)
        Smallest and largest magnification; 1 leaves the size as it is.
    shift : float
        Largest translation along each axis, as a fraction of the image's side.
    flip_horizontal, flip_vertical : bool
        Mirror left–right, or top–bottom, half of the images.
    """

    rotation: float = 0.0
    scale: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    flip_horizontal: bool = False
    flip_vertical: bool = False

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0 < low <= high:
            raise OptionError(
                f"an augmentation's scale goes from small to large above 0, not {low} to {high}"
            )
        if not 0 <= self.rotation <= 180 or not 0 <= self.shift < 1:
            raise OptionError("an augmentation's rotation lies in 0 to 180 degrees and its shift in 0 to 1")

    @property
    def moves(self) -> bool:
        """Whether it changes an image at all."""
        return self != Augmentation()


AUGMENTATIONS: dict[str, Augmentation] = {
    # The head is nearly symmetric and lies nearly upright.
    "mri": Augmentation(rotation=15, scale=(0.9, 1.1), flip_horizontal=True),
    # Left and right eye mirror each other, and the camera's disc has no upright.
    "fundus": Augmentation(rotation=180, scale=(0.9, 1.1), flip_horizontal=True, flip_vertical=True),
    # The heart lies on one side, so that a mirrored chest is a finding of its own (situs inversus).
    "xray": Augmentation(rotation=10, scale=(0.9, 1.1), shift=0.05),
    # The liver and the heart lie on one side, and the patient may lie askew.
    "ct": Augmentation(rotation=15, scale=(0.9, 1.1), shift=0.05),
    "none": Augmentation(),
    "default": Augmentation(rotation=15, scale=(0.9, 1.1), flip_horizontal=True),
}
"""What is true to life for each modality."""


def find_augmentation(name: str | Augmentation) -> Augmentation:
    """Look a modality's augmentation up; an `Augmentation` is returned as it is.

    Raises
    ------
    OptionError
        If there is none of that name.
    """
    if isinstance(name, Augmentation):
        return name
    if name not in AUGMENTATIONS:
        raise OptionError(f"unknown augmentation {name!r}; there are: {', '.join(AUGMENTATIONS)}")
    return AUGMENTATIONS[name]


def augment(images: Tensor, how: Augmentation, generator: Generator) -> Tensor:
    """Move each image of a batch by its own random rotation, scale, shift and flips, in one resampling.

    What comes in from outside the image is zero (black).

    Parameters
    ----------
    images : (n, channels, height, width) floating-point tensor
        Of a training batch; never of one that is scored.
    how : Augmentation
    generator : torch.Generator
        On the CPU, so that every device sees the same numbers; advanced by the same amount for
        every batch of n images.

    Returns
    -------
    Tensor of the same shape, dtype and device.
    """
    theta = draw_moves(images, how, generator)
    return images if theta is None else move(images, theta)


def draw_moves(images: Tensor, how: Augmentation, generator: Generator) -> Tensor | None:
    """Draw how each image of a batch is moved: (n, 2, 3) on the CPU, for `move`; None where nothing moves.

    Parameters
    ----------
    images, how, generator
        As for `augment`.
    """
    if not how.moves:
        return None
    _, _, height, width = images.shape
    return _affine_maps(len(images), how, height / width, generator)


def move(
    images: Tensor,
    theta: Tensor,
    *,
    mode: str = "bilinear",
    padding: str = "zeros",
    size: tuple[int, int] | None = None,
) -> Tensor:
    """Move a batch as `draw_moves` drew it, so that maps that go with images move as they do.

    Parameters
    ----------
    images : (n, channels, height, width) floating-point tensor
    theta : (n, 2, 3) tensor
    mode : {"bilinear", "nearest"}
        Nearest for maps whose values mean something each.
    padding : {"zeros", "border"}
        What comes in from outside the image.
    size : (height, width), optional
        Of the result; by default that of the images.

    Returns
    -------
    (n, channels, height, width) tensor of the same dtype and device.
    """
    shape = [*images.shape[:2], *(size or images.shape[2:])]
    grid = affine_grid(theta.to(images), shape, align_corners=False)
    return grid_sample(images, grid, mode=mode, padding_mode=padding, align_corners=False)


def fixed_views(images: Tensor, how: Augmentation, count: int) -> Iterator[Tensor]:
    """See each image of a batch in the same few ways: as it is, mirrored as `how` allows, then moved.

    Parameters
    ----------
    images : (n, channels, side, side) floating-point tensor
        Zero is black.
    how : Augmentation
        Where any angle is allowed and both flips, the eight flips and quarter turns of a square come first.
    count : int
        Views of an image, at least 1.

    Yields
    ------
    Tensor of the same shape, `count` times.
    """
    for number, view in enumerate(view_maps(how, count)):
        yield images if number == 0 else move(images, view.expand(len(images), -1, -1))


def view_grids(how: Augmentation, count: int, side: int) -> list[NDArray[np.float32]]:
    """Give where each of the `fixed_views` but the first takes its pixels from, as `grid_sample` has it.

    Parameters
    ----------
    how, count
        As for `fixed_views`.
    side : int
        Of the images.

    Returns
    -------
    list of (1, side, side, 2) float32 arrays, `count` − 1 of them
    """
    shape = [1, 1, side, side]
    maps = view_maps(how, count)[1:]
    return [affine_grid(view[None], shape, align_corners=False).numpy() for view in maps]


def view_maps(how: Augmentation, count: int) -> Tensor:
    """Give the maps from output to input, (count, 2, 3), by which `fixed_views` moves images; see `move`."""
    every = _symmetries(how)
    if count > len(every):
        drawn = _affine_maps(count - len(every), how, 1.0, Generator().manual_seed(0))
        every = torch.cat([every, drawn])
    return every[:count]


def mirror_views(how: Augmentation) -> int:
    """Count the leading ones of the `fixed_views` that no resampling blurs."""
    return len(_symmetries(how))


def _symmetries(how: Augmentation) -> Tensor:
    """Give the (k, 2, 3) maps of the square onto itself that an augmentation allows, the identity first."""
    turned = (False, True) if how.flip_horizontal and how.flip_vertical and how.rotation >= 90 else (False,)
    maps = []
    for turn in turned:
        for down in (1.0, -1.0) if how.flip_vertical else (1.0,):
            for across in (1.0, -1.0) if how.flip_horizontal else (1.0,):
                rows = [[across, 0.0, 0.0], [0.0, down, 0.0]]
                maps.append([[0.0, across, 0.0], [down, 0.0, 0.0]] if turn else rows)
    return torch.tensor(maps)


def _affine_maps(n: int, how: Augmentation, aspect: float, generator: Generator) -> Tensor:
    """Draw (n, 2, 3) maps from output to input, in grid_sample's coordinates (each axis −1 … 1)."""
    draw = torch.rand((6, n), generator=generator)
    angle = torch.deg2rad((2 * draw[0] - 1) * how.rotation)
    low, high = how.scale
    size = torch.exp(torch.lerp(torch.tensor(low).log(), torch.tensor(high).log(), draw[1]))
    mirror_x = 1 - 2 * (draw[4] < 0.5).float() * how.flip_horizontal
    mirror_y = 1 - 2 * (draw[5] < 0.5).float() * how.flip_vertical
    cos, sin = torch.cos(angle) / size, torch.sin(angle) / size
    # Both axes span 2 whatever their length in pixels, so that a rotation needs the aspect to stay rigid.
    row_x = torch.stack([mirror_x * cos, -mirror_x * sin * aspect, (2 * draw[2] - 1) * 2 * how.shift], dim=1)
    row_y = torch.stack([mirror_y * sin / aspect, mirror_y * cos, (2 * draw[3] - 1) * 2 * how.shift], dim=1)
    return torch.stack([row_x, row_y], dim=1)
