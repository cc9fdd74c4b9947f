"""Order statistics of an image's levels from their counts: as numpy has them, in a fraction of the time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def count_levels(image: NDArray[Any]) -> NDArray[np.intp]:
    """Count how often each level occurs: (256,) for uint8, (65536,) for uint16."""
    return np.bincount(image.ravel(), minlength=np.iinfo(image.dtype).max + 1)


def percentiles_of(counts: NDArray[np.intp], shares: Sequence[float]) -> list[float]:
    """Give percentiles of counted levels, equal to those of `numpy.percentile` to the last bit.

    Parameters
    ----------
    counts : (levels,) int array
        At least one is above 0.
    shares : sequence of float
        0 … 100.

    Returns
    -------
    list of float
        Interpolated linearly. Source: Hyndman & Fan, "Sample quantiles in statistical packages", The American
        Statistician 50 (1996), definition 7.
    """
    until = np.cumsum(counts)
    last = int(until[-1]) - 1
    found = []
    for share in shares:
        place = last * (share / 100)
        below = int(np.floor(place))
        part = place - below
        low, high = (
            float(np.searchsorted(until, rank, side="right")) for rank in (below, min(below + 1, last))
        )
        # numpy comes from the nearer end, which decides the last bit.
        found.append(low + (high - low) * part if part < 0.5 else high - (high - low) * (1 - part))
    return found
