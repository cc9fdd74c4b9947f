"""Whether a heatmap rests on the anatomy, or on the frame around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from raresight.explain.base import Heatmaps
from raresight.images.anatomy import anatomy_mask

HOT = 0.05
"""Share of a map's pixels, the hottest ones, that are its heat."""

BORDER = 0.05
"""Width of the border, as a share of the side."""

MOST = 0.5
"""Share of the heat outside the anatomy, or on the border, from which a map is flagged."""


@dataclass(frozen=True, slots=True)
class HeatShares:
    """Where the hottest pixels of some maps lie.

    Attributes
    ----------
    outside, border : (n,) float64 arrays
        Shares of each map's heat, 0 to 1: outside the anatomy, and on the image's border.
    peak : (n,) bool array
        Whether the highest point itself lies there.
    """

    outside: NDArray[np.float64]
    border: NDArray[np.float64]
    peak: NDArray[np.bool_]

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """(n,) whether the highest point, or more than half of the heat, is where no finding can be."""
        return (self.outside > MOST) | (self.border > MOST) | self.peak

    def sentences(self, files: Sequence[str] = (), called: NDArray[np.bool_] | None = None) -> list[str]:
        """Say what was found, and warn of the maps flagged.

        Parameters
        ----------
        files : sequence of str, optional
            The images' names.
        called : (n,) bool array, optional
            Which images were called anomalous: of the others even the highest point is low, and says little.
        """
        told = [
            f"On average {self.outside.mean():.0%} of the heat (the hottest {HOT:.0%} of a map's pixels) "
            f"lies outside the anatomy, and {self.border.mean():.0%} on the image's border."
        ]
        among = np.ones(len(self.outside), bool) if called is None else called
        odd = np.flatnonzero(self.flagged & among)
        if len(odd):
            whose = "" if called is None else " of images called anomalous"
            named = f", the first: {files[odd[0]]}" if len(files) else ""
            told.append(
                f"warning: {len(odd)} of {among.sum()} maps{whose} have their peak, or most of their heat, "
                f"on the background or the border{named}; the detector may look at the frame rather than at "
                "a finding: see raresight audit"
            )
        return told


def heat_shares(
    heatmaps: Heatmaps, pixels: NDArray[Any], preset: str | None = None, grid: int = 0
) -> HeatShares:
    """Tell how much of each map's heat lies outside the anatomy, and on the border.

    Only the order of a map's pixels counts, so that maps of any method and unit compare. Beyond the anatomy's
    outline half a place of the map's own grid is still counted as anatomy: a coarse map cannot point better.

    Parameters
    ----------
    heatmaps : (n, h, w) float32 array
    pixels : (n, h, w, c) uint8 or uint16 array
        The images.
    preset : str, optional
        Modality, as `raresight.images.anatomy.anatomy_mask` takes it.
    grid : int
        Places a side of the maps before they were enlarged; 0: they are as fine as the images.
    """
    outside, border = np.empty(len(heatmaps)), np.empty(len(heatmaps))
    peak = np.zeros(len(heatmaps), bool)
    side = heatmaps.shape[1]
    margin = side / (2 * grid) if 0 < grid < side else 0.0
    inner = max(1, round(BORDER * side))
    frame = np.ones(heatmaps.shape[1:], bool)
    frame[inner:-inner, inner:-inner] = False
    for place, (heat, image) in enumerate(zip(heatmaps, pixels, strict=True)):
        hot = hottest(heat)
        anatomy = anatomy_of(image, preset)
        near = distance_transform_edt(~anatomy) <= margin
        outside[place] = hot[~near].sum() / hot.sum()
        border[place] = hot[frame].sum() / hot.sum()
        peak[place] = (frame | ~near)[np.unravel_index(heat.argmax(), heat.shape)] and np.ptp(heat) > 0
    return HeatShares(outside, border, peak)


def hottest(heat: NDArray[Any], share: float = HOT) -> NDArray[np.bool_]:
    """Tell which pixels of an (h, w) map are its hottest: as many as `share` says, more where values tie.

    The map's lowest value is never hot, unless it is its only one.
    """
    count = max(1, round(share * heat.size))
    bound = np.partition(heat, heat.size - count, axis=None)[heat.size - count]
    if bound > heat.min():
        return np.asarray(heat >= bound)
    above = heat > heat.min()
    return np.asarray(above if above.any() else ~above)


def anatomy_of(image: NDArray[Any], preset: str | None = None) -> NDArray[np.bool_]:
    """Tell the anatomy of a stored (h, w, c) image: (h, w) bool."""
    return anatomy_mask(image[..., 0] if image.shape[-1] == 1 else image, preset)
