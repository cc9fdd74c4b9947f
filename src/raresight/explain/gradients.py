"""Integrated gradients, and gradient-weighted class activation maps."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from captum.attr import IntegratedGradients
from monai.visualize import GradCAM, GradCAMpp
from numpy.typing import NDArray
from torch import Tensor, nn

from raresight.errors import OptionError
from raresight.experiment.recipe import FittedRecipe
from raresight.explain.base import BLOCK, Heatmaps, Method, Rows
from raresight.explain.chains import cut_after
from raresight.explain.own import SIDE, smoothed
from raresight.explain.paths import Path, has_paths, paths
from raresight.images.store import ImageStore

USUAL_ROWS = 64
"""Normal training images whose mean is the usual image, at most."""


class GradientMethod(Method):
    """Base of the methods that follow gradients."""

    @classmethod
    def suits(cls, fitted: FittedRecipe) -> bool:
        """Tell whether gradients lead to places of the image."""
        return has_paths(fitted)

    def paths(self, fitted: FittedRecipe, from_pixels: bool = False) -> list[Path]:
        """Give the ways from images to the score; from the pixels on, and without knowledge, if `blind`."""
        if self.blind is None:
            return paths(fitted, from_pixels=from_pixels)
        found = paths(fitted, from_pixels=True)
        random = np.random.default_rng(self.blind)
        for path in found:
            shuffle_tensors(path.chain, random)
        return found


def shuffle_tensors(network: nn.Module, random: np.random.Generator) -> None:
    """Shuffle every parameter and buffer of a network within itself, in place."""
    with torch.no_grad():
        for tensor in [*network.parameters(), *network.buffers()]:
            order = torch.from_numpy(random.permutation(tensor.numel()))
            tensor.copy_(tensor.flatten()[order].reshape(tensor.shape))


class IntegratedMaps(GradientMethod):
    """Integrated gradients of feature maps: what each place adds to the score.

    The path begins at the mean maps of normal training images and ends at the image's; the gradients on the
    way, times the difference, summed over channels, say how much of the difference in score each place makes.
    A gradient at the image alone is flat where the score saturates; pixels are too fine, and pooled features
    too late, to point.

    Source: Sundararajan, Taly & Yan, "Axiomatic attribution for deep networks", ICML 2017; captum's
    implementation.

    Parameters
    ----------
    places : int, optional
        The last maps with at least so many places a side are taken; by default 28 in a network trained on
        pixels, 14 in lite0, whose finer maps are noisier.
    steps : int
        Gradients on the way; about so many times the cost of a plain prediction's last half.
    """

    from_pixels = False

    def __init__(self, places: int | None = None, steps: int = 5) -> None:
        if (places is not None and places < 1) or steps < 1:
            raise OptionError(f"places={places} and steps={steps} must both be at least 1")
        self.places, self.steps = places, steps

    def prepare(self, fitted: FittedRecipe, store: ImageStore) -> Self:
        """Take the mean maps of normal training images."""
        super().prepare(fitted, store)
        rows = usual_rows(fitted, store)
        places = self.places or (28 if fitted.recipe.representation.name == "pixels" else 14)
        self.parts = [_Part.of(path, store, rows, places) for path in self.paths(fitted, self.from_pixels)]
        return self

    def heatmaps(self, store: ImageStore, rows: Rows) -> Heatmaps:
        """Explain rows: (n, side, side) float32, in units of the score a place."""
        found = [part.back(self._attributed(part, store, rows)) for part in self.parts]
        return self.enlarge(torch.stack(found).mean(dim=0)[:, 0].numpy())

    def _attributed(self, part: _Part, store: ImageStore, rows: Rows) -> Tensor:
        maps = part.maps(store, rows)
        found: Tensor = IntegratedGradients(lambda x: part.after(x)[:, 0]).attribute(
            maps, part.usual.expand_as(maps), n_steps=self.steps
        )
        return found.sum(dim=1, keepdim=True).float()


class GradientMaps(IntegratedMaps):
    """The gradient at the image's maps times their difference from the usual maps.

    A distance from what is normal grows evenly on the way out, so that its gradient at the image says all;
    on the way, close to what is normal, its gradients point anywhere.

    Source: Shrikumar, Greenside & Kundaje, "Learning important features through propagating activation
    differences", ICML 2017 (gradient × difference from a reference, section 3).

    Parameters
    ----------
    places : int, optional
        See `IntegratedMaps`.
    """

    def __init__(self, places: int | None = None) -> None:
        super().__init__(places, 1)

    def _attributed(self, part: _Part, store: ImageStore, rows: Rows) -> Tensor:
        maps = part.maps(store, rows).requires_grad_(True)
        (slope,) = torch.autograd.grad(part.after(maps).sum(), maps)
        return (slope * (maps.detach() - part.usual)).sum(dim=1, keepdim=True)


class _Part:
    """A path cut in two: what makes the maps, and what makes the score of them."""

    def __init__(self, path: Path, cut: int) -> None:
        self.read, self.back = path.read, path.back
        self.before, self.after = path.chain[:cut], path.chain[cut:].requires_grad_(False)
        self.usual = torch.zeros(0)

    @classmethod
    def of(cls, path: Path, store: ImageStore, rows: Rows, places: int) -> _Part:
        cut = cut_after(path.chain, path.read(store, rows[:1]), places)
        part = cls(path, cut)
        few = np.array_split(rows, -(-len(rows) // BLOCK))
        sums = [part.maps(store, some).sum(dim=0, keepdim=True) for some in few]
        part.usual = torch.stack(sums).sum(dim=0) / len(rows)
        return part

    def maps(self, store: ImageStore, rows: Rows) -> Tensor:
        with torch.no_grad():
            found: Tensor = self.before(self.read(store, rows))
        return found


def usual_rows(fitted: FittedRecipe, store: ImageStore) -> Rows:
    """Draw the normal training images that say what is usual, always the same."""
    normal = fitted.rows[store.manifest.y[fitted.rows] == 0]
    drawn = np.random.default_rng(0).permutation(len(normal))[:USUAL_ROWS]
    return np.sort(normal[drawn])


def usual_image(fitted: FittedRecipe, store: ImageStore) -> NDArray[np.float32]:
    """Give the mean normal training image, (side, side, c), in the store's values."""
    return np.asarray(store.pixels[usual_rows(fitted, store)].mean(axis=0), np.float32)


class PixelGradients(IntegratedMaps):
    """Integrated gradients of pixels, from the mean normal training image, smoothed.

    Source: Sundararajan, Taly & Yan, "Axiomatic attribution for deep networks", ICML 2017; captum's
    implementation.

    Parameters
    ----------
    steps : int
        Gradients on the way.
    blur : float
        Deviation of the Gaussian that the map is smoothed by, in pixels of an image of 224.
    """

    from_pixels = True

    def __init__(self, steps: int = 16, blur: float = 4.0) -> None:
        super().__init__(10**6, steps)  # no maps are so fine: the pixels themselves
        self.blur = blur

    def heatmaps(self, store: ImageStore, rows: Rows) -> Heatmaps:
        """Explain rows: (n, side, side) float32."""
        return smoothed(super().heatmaps(store, rows), self.blur * self.side / SIDE)


class GradientCAM(GradientMethod):
    """Class activation maps weighted by the mean gradient of each channel.

    Source: Selvaraju et al., "Grad-CAM: visual explanations from deep networks via gradient-based
    localization", ICCV 2017; MONAI's implementation.

    Parameters
    ----------
    places : int
        The last maps with at least so many places a side are taken; 2 are the last that have any.
    """

    kind = GradCAM

    def __init__(self, places: int = 2) -> None:
        if places < 1:
            raise OptionError(f"places={places} is too small; choose at least 1")
        self.places = places

    def prepare(self, fitted: FittedRecipe, store: ImageStore) -> Self:
        """Find each path's last maps."""
        super().prepare(fitted, store)
        self.parts: list[tuple[Path, Any]] = []
        for path in self.paths(fitted):
            cut = cut_after(path.chain, path.read(store, fitted.rows[:1]), self.places)
            self.parts.append((path, self.kind(path.chain, str(cut - 1))))
        return self

    def heatmaps(self, store: ImageStore, rows: Rows) -> Heatmaps:
        """Explain rows: (n, side, side) float32, from 0 on."""
        found = []
        for path, cam in self.parts:
            planes = path.read(store, rows)
            # One at a time: MONAI's Grad-CAM++ mixes the images of a batch up.
            maps = [cam.compute_map(one[None].requires_grad_(True), class_idx=0).detach() for one in planes]
            found.append(path.back(torch.cat(maps)))
        return self.enlarge(torch.stack(found).mean(dim=0)[:, 0].numpy())


class GradientCAMPlusPlus(GradientCAM):
    """Class activation maps weighted by the gradients' positive parts, place by place.

    Source: Chattopadhay, Sarkar, Howlader & Balasubramanian, "Grad-CAM++: generalized gradient-based visual
    explanations for deep convolutional networks", WACV 2018; MONAI's implementation.

    Parameters
    ----------
    places : int
        See `GradientCAM`.
    """

    kind = GradCAMpp
