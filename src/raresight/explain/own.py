"""Maps that a detector makes by itself, on the way to its score."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from raresight.errors import OptionError
from raresight.experiment.recipe import FittedRecipe
from raresight.explain.base import Heatmaps, Method, Rows
from raresight.images.store import ImageStore

SIDE = 224
"""The side that widths in pixels are stated at; they grow with the images."""


class OwnMap(Method):
    """A detector's own map.

    Parameters
    ----------
    blur : float
        Deviation of the Gaussian that the enlarged map is smoothed by, in pixels of an image of 224.
    """

    def __init__(self, blur: float = 0.0) -> None:
        if blur < 0:
            raise OptionError(f"blur={blur} is out of range; choose 0 or more pixels")
        self.blur = blur

    @classmethod
    def suits(cls, fitted: FittedRecipe) -> bool:
        """Tell whether the detector has a map of this kind."""
        return hasattr(fitted.detector, "heatmap") and kind_of(fitted) is cls

    def heatmaps(self, store: ImageStore, rows: Rows) -> Heatmaps:
        """Ask the detector: (n, side, side) float32."""
        found = self.enlarge(self.fitted.detector.heatmap(self.fitted.seen(store, rows)))
        return smoothed(found, self.blur * self.side / SIDE)


class LesionMask(OwnMap):
    """The probability of a lesion in each pixel, of a detector trained on masks.

    Source: Ronneberger, Fischer & Brox, "U-Net: convolutional networks for biomedical image segmentation",
    MICCAI 2015.

    Parameters
    ----------
    blur : float
        See `OwnMap`.
    """


class PatchDistance(OwnMap):
    """The distance of each place's features from normal ones; blurred as in the papers.

    Source: Defard et al., "PaDiM", ICPR workshops 2021, and Roth et al., "Towards total recall in industrial
    anomaly detection", CVPR 2022: a Gaussian of four pixels.

    Parameters
    ----------
    blur : float
        See `OwnMap`.
    """

    def __init__(self, blur: float = 4.0) -> None:
        super().__init__(blur)


class Residual(OwnMap):
    """What a network trained on normal images cannot redraw.

    Source: Baur, Denner, Wiestler, Navab & Albarqouni, "Autoencoders for unsupervised anomaly segmentation in
    brain MR images: a comparative study", Medical Image Analysis 69 (2021).

    Parameters
    ----------
    blur : float
        See `OwnMap`; the detectors smooth their maps themselves.
    """


def kind_of(fitted: FittedRecipe) -> type[OwnMap]:
    """Tell what a detector's own map shows."""
    if fitted.detector.masks:
        return LesionMask
    return PatchDistance if fitted.recipe.representation.name == "maps" else Residual


def smoothed(maps: Heatmaps, sigma: float) -> Heatmaps:
    """Smooth (n, h, w) maps by a Gaussian of `sigma` pixels; 0 leaves them as they are."""
    if not sigma:
        return maps
    return np.stack([gaussian_filter(each, sigma, mode="nearest") for each in maps])
