"""How good synthetic rows are: copies, distances, wrong neighbours, density, coverage."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from hashlib import blake2b
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from raresight.errors import DataError

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class SynthesisQuality:
    """What synthetic rows are like, beside the real ones.

    Attributes
    ----------
    rows : int
        Synthetic rows looked at.
    copies : float
        Share that equals a real row byte for byte.
    distance : float
        Median distance to the nearest real row of any class, as a multiple of the median distance from a real
        row of the synthetic one's class to its own nearest that is no copy: 1 = as far as real rows are from
        each other, 0 = a copy. NaN where all real rows of a class are copies.
    other_class : float
        Share whose nearest real row is of another class.
    density : float
        How many of the real rows' neighbourhoods a synthetic row falls into, on average and over k: about 1
        for rows drawn like the real ones, more where real rows are dense, 0 far from all.
    coverage : float
        Share of the real rows of the class with a synthetic row in their neighbourhood, 0 to 1.
    """

    rows: int
    copies: float
    distance: float
    other_class: float
    density: float
    coverage: float

    def as_dict(self) -> dict[str, float | None]:
        """Give the figures by name, None for what is not a number."""
        return {name: value if isfinite(value) else None for name, value in asdict(self).items()}


def synthesis_quality(
    real: Array, real_labels: Array, made: Array, made_labels: Array, *, copies: float = 0.0, k: int = 5
) -> SynthesisQuality:
    """Compare synthetic rows with real ones in a space where distances mean something.

    A row's neighbourhood is the ball that reaches to its k-th nearest row of the same class. Source of
    density and coverage: Naeem, Oh, Uh, Choi & Yoo, "Reliable Fidelity and Diversity Metrics for Generative
    Models", ICML 2020, equations 3 and 4, computed for each class and averaged over its rows.

    Parameters
    ----------
    real : (n, ...) array
        All real rows, of every class.
    real_labels : (n,) array
    made : (m, ...) array
        Synthetic rows in the same space.
    made_labels : (m,) array
        One class each.
    copies : float
        From `share_of_copies`, which needs the rows as they are, not as the space has them.
    k : int
        Neighbours that span a neighbourhood; fewer where a class has no more rows.

    Raises
    ------
    DataError
        If there is no synthetic row, or a class has fewer than two real ones.
    """
    if not len(made):
        raise DataError("there is no synthetic row to judge")
    real, made = _flat(real), _flat(made)
    nearest = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(real)
    away, which = nearest.kneighbors(made)
    wrong = real_labels[which[:, 0]] != made_labels
    relative = np.empty(len(made))
    density, covered, reals = 0.0, 0, 0
    for label in np.unique(made_labels):
        own, mine = real[real_labels == label], made_labels == label
        if len(own) < 2:
            raise DataError(f"class {label} has {len(own)} real row(s), too few to judge synthetic ones by")
        reach, usual = _neighbourhoods(own, min(k, len(own) - 1))
        relative[mine] = away[mine, 0] / usual
        inside = _distances(made[mine], own) <= reach
        density += inside.sum() / min(k, len(own) - 1)
        covered += int(inside.any(axis=0).sum())
        reals += len(own)
    return SynthesisQuality(
        rows=len(made),
        copies=float(copies),
        distance=float(np.median(relative)),
        other_class=float(wrong.mean()),
        density=float(density / len(made)),
        coverage=covered / reals,
    )


def share_of_copies(real: Array, made: Array) -> float:
    """Give the share of synthetic rows that equal a real row, found by their bytes.

    Parameters
    ----------
    real : (n, ...) array
        As they are stored; read row by row, so that it may be memory-mapped.
    made : (m, ...) array
        Of the same shape and dtype.
    """
    known = {_digest(row) for row in real}
    return float(np.mean([_digest(row) in known for row in made])) if len(made) else 0.0


def _digest(row: Array) -> bytes:
    return blake2b(np.ascontiguousarray(row).data, digest_size=16).digest()


def _flat(rows: Array) -> NDArray[np.float32]:
    return rows.reshape(len(rows), -1).astype(np.float32, copy=False)


def _neighbourhoods(own: NDArray[np.float32], k: int) -> tuple[Array, float]:
    """Give each real row's distance to its k-th nearest, and the usual distance to the first."""
    # Asked without rows of its own, a row is left out of its neighbours by its number: copies count.
    away, _ = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(own).kneighbors()
    apart = away[:, 0][away[:, 0] > 0]
    return away[:, -1], float(np.median(apart)) if len(apart) else np.nan


def _distances(made: NDArray[np.float32], own: NDArray[np.float32]) -> Array:
    from sklearn.metrics import pairwise_distances

    return np.asarray(pairwise_distances(made, own))
