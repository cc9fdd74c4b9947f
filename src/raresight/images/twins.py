"""Twins: images of a set that are one picture, exactly or nearly, whatever was done to the file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from raresight.images.candidates import Candidates, find_candidates
from raresight.images.likeness import agreement, canvases, detail, likeness, shrunk, structure, turned
from raresight.images.store import ImageStore
from raresight.progress import Progress, silent

Rows = NDArray[np.int64]
Kind = Literal["exact", "near"]

VERSION = 2
ALIKE = 0.8
"""Agreement of detail from which two images are one picture."""

ALIKE_FROM_AFAR = 0.55
"""Correlation of structures at a quarter of the resolution from which a closer look is taken."""

WORTH_A_LOOK = 0.35
"""Agreement from which a pair is looked at more closely, or laid over each other more exactly."""

CHUNK = 256

LARGEST_SHARE = 0.05
"""Share of a set that a cluster of near twins may reach before it is doubted."""

ALWAYS_MERGED = 10
"""A cluster of so many images is never doubted for its share: in a small set it is soon reached."""


@dataclass(frozen=True, slots=True)
class TwinGroup:
    """Images that are one picture.

    Attributes
    ----------
    rows : (k,) int64 array
        At least two, ascending.
    kind : {"exact", "near"}
        Whether all have the same pixels.
    """

    rows: Rows
    kind: Kind


@dataclass(frozen=True)
class Twins:
    """Which images of a set are one picture.

    Attributes
    ----------
    cluster : (n,) int64 array
        The number of each row's cluster, 0 … in the order of their first rows; a row without a twin has
        one of its own.
    pairs : (m, 2) int64 array
        The twins found, lower row first, in ascending order. Of identical rows each is paired with the first.
    exact : (m,) bool array
        Whether a pair's pixels, decoded and resized, are identical.
    correlation : (m,) float32 array
        Agreement of a pair's detail, 0 … 1; see `likeness.agreement`.
    unmerged : tuple of (k,) int64 arrays
        Rows of near twins that hang together in more than 5 % of the set (and more than `ALWAYS_MERGED`
        rows). They are rather a look that many images share: in `cluster` only their exact twins are
        together.
    """

    cluster: Rows
    pairs: Rows
    exact: NDArray[np.bool_]
    correlation: NDArray[np.float32]
    unmerged: tuple[Rows, ...] = ()

    @property
    def kind(self) -> NDArray[np.str_]:
        """(m,) ``exact`` or ``near``, for each of `pairs`."""
        return np.where(self.exact, "exact", "near")

    def groups(self) -> list[TwinGroup]:
        """List the clusters of at least two rows, in the order of their numbers."""
        identical = _components(len(self.cluster), self.pairs[self.exact])
        found = []
        for rows in _members(self.cluster):
            if len(rows) > 1:
                same = bool((identical[rows] == identical[rows[0]]).all())
                found.append(TwinGroup(rows, "exact" if same else "near"))
        return found


def find_twins(store: ImageStore, progress: Progress = silent) -> Twins:
    """Find the images that are one picture, or what an earlier call found.

    Two cases of several images are twins if any image of the one and any of the other are one picture.

    A pair counts when its detail agrees at `ALIKE` or above in nearly every window once the frames are laid
    over each other; brightness, contrast, resolution, compression, a cut border, a mirror image or quarter
    turn make no difference. Candidates are each image's nearest in coarse structure.

    Parameters
    ----------
    store : ImageStore
    progress : callable, optional
        See `raresight.progress`.

    Returns
    -------
    Twins
        Of the rows of ``store.manifest``; the same whatever the number of cores.
    """
    return _twins(len(store), store.derived(f"twins-{VERSION}", lambda: _search_store(store, progress)))


def compare_pixels(pixels: NDArray[Any], progress: Progress = silent) -> Twins:
    """Find the images that are one picture among decoded ones; `find_twins` keeps what it finds.

    Parameters
    ----------
    pixels : (n, h, w, c) uint8 or uint16 array
    progress : callable, optional

    Returns
    -------
    Twins
    """
    return _twins(len(pixels), _search(pixels, progress))


def _twins(n: int, found: NDArray[Any]) -> Twins:
    pairs = np.asarray(found[1:, :2], dtype=np.int64)
    return cluster_twins(n, pairs, found[1:, 2] > 0, found[1:, 3].astype(np.float32))


def cluster_twins(n: int, pairs: Rows, exact: NDArray[np.bool_], correlation: NDArray[np.float32]) -> Twins:
    """Join pairs to clusters, doubting those that grow too large.

    Parameters
    ----------
    n : int
        Rows of the set.
    pairs : (m, 2) int64 array
    exact : (m,) bool array
    correlation : (m,) float32 array

    Returns
    -------
    Twins
    """
    cluster = _components(n, pairs)
    identical = _components(n, pairs[exact])
    limit = max(ALWAYS_MERGED, LARGEST_SHARE * n)
    large = [rows for rows in _members(cluster) if len(rows) > limit]
    doubted = tuple(rows for rows in large if len(np.unique(identical[rows])) > 1)
    for rows in doubted:
        cluster[rows] = n + identical[rows]
    return Twins(_numbered(cluster), pairs, exact, correlation, doubted)


def twin_groups(names: NDArray[Any], cluster: Rows) -> NDArray[np.str_]:
    """Join groups that share a cluster of twins: a patient's images and their twins' patients' stay together.

    Parameters
    ----------
    names : (n,) array
        Each row's patient, or its own name.
    cluster : (n,) int64 array
        From `Twins`.

    Returns
    -------
    (n,) str array
        The name of the first group of those joined.
    """
    names = np.asarray(names).astype(np.str_)
    n = len(names)
    _, codes = np.unique(names, return_inverse=True)
    _, clusters = np.unique(cluster, return_inverse=True)
    joined = _components(
        int(codes.max()) + 1 + int(clusters.max()) + 1,
        np.stack([codes, codes.max() + 1 + clusters], axis=1),
    )[codes]
    _, first = np.unique(_numbered(joined), return_index=True)
    return names[first][_numbered(joined)] if n else names


def contradictory_groups(groups: Sequence[TwinGroup], labels: NDArray[Any]) -> list[TwinGroup]:
    """List the groups of twins whose labels differ.

    Parameters
    ----------
    groups : sequence of TwinGroup
    labels : (n,) array
        Of every row: classes, or grades.
    """
    return [group for group in groups if len(np.unique(labels[group.rows])) > 1]


def split_twins(twins: Twins, split: NDArray[Any]) -> list[tuple[int, int]]:
    """List the test images that have a twin among the training images.

    Parameters
    ----------
    twins : Twins
    split : (n,) array of str
        ``test`` marks the test images; rows of any other split that is named count as training images.

    Returns
    -------
    list of (int, int)
        Each such test row, ascending, with its first training twin.
    """
    names = np.array([str(part).lower() if isinstance(part, str) else "" for part in split])
    found = []
    for group in twins.groups():
        train = group.rows[(names[group.rows] != "test") & (names[group.rows] != "")]
        if len(train):
            found += [(int(row), int(train[0])) for row in group.rows[names[group.rows] == "test"]]
    return sorted(found)


def split_patients(patients: NDArray[Any], split: NDArray[Any]) -> list[str]:
    """List, sorted, the patients with images in more than one part of a published split.

    Parameters
    ----------
    patients, split : (n,) arrays
        Rows where either is missing play no part.
    """
    parts: dict[str, set[str]] = {}
    for patient, part in zip(patients.tolist(), split.tolist(), strict=True):
        if isinstance(part, str) and part and patient is not None and patient == patient:
            parts.setdefault(str(patient), set()).add(part)
    return sorted(patient for patient, found in parts.items() if len(found) > 1)


def _search_store(store: ImageStore, progress: Progress) -> NDArray[np.float64]:
    """Do as `_search` does, with every image of a case."""
    if not store.modalities:
        return _search(store.pixels, progress)
    parts = [store.modality(name) for name in store.modalities]
    at = np.array([(part, row) for part, (_, present) in enumerate(parts) for row in np.flatnonzero(present)])
    found = _search(_Pictures([pixels for pixels, _ in parts], at), progress)
    pairs: dict[tuple[int, int], tuple[float, float]] = {}
    for first, second, *facts in found[1:]:
        low, high = sorted(int(at[int(number), 1]) for number in (first, second))
        if low < high:
            pairs[low, high] = max(pairs.get((low, high), (0.0, 0.0)), (facts[0], facts[1]))
    return np.array([(0.0, 0.0, 0.0, 0.0), *((*pair, *facts) for pair, facts in sorted(pairs.items()))])


class _Pictures:
    """All images of all cases as one array to look through, none copied."""

    def __init__(self, parts: list[NDArray[Any]], at: Rows) -> None:
        self.parts, self.at = parts, at

    def __len__(self) -> int:
        return len(self.at)

    def __getitem__(self, number: int) -> NDArray[Any]:
        part, row = self.at[number]
        image: NDArray[Any] = self.parts[part][row]
        return image


def _search(pixels: NDArray[Any] | _Pictures, progress: Progress) -> NDArray[np.float64]:
    """Give (1 + m, 4): zeros, as an empty file cannot be mapped; then row, row, exact, correlation."""
    first, pictures = _look(pixels, progress)
    alone = np.flatnonzero(first == np.arange(len(first)))
    pictures = pictures[:, alone]
    candidates = find_candidates(pictures, progress)
    near: dict[tuple[int, int], float] = {}
    for value, i, j in _verify(pictures, candidates, progress):
        near[int(alone[i]), int(alone[j])] = value
    copies = np.flatnonzero(first != np.arange(len(first)))
    found = [(int(first[row]), int(row), 1.0, 1.0) for row in copies]
    found += [(*pair, 0.0, value) for pair, value in near.items()]
    return np.array([(0.0, 0.0, 0.0, 0.0), *sorted(found)])


def _look(pixels: NDArray[Any] | _Pictures, progress: Progress) -> tuple[Rows, NDArray[np.uint8]]:
    """Give each row's first identical row, and every row's canvases: (2, n, side, side)."""

    def one(row: int) -> tuple[bytes, NDArray[np.uint8]]:
        image = np.ascontiguousarray(pixels[row])
        digest = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
        return digest, np.rint(canvases(image)).astype(np.uint8)

    seen: dict[bytes, int] = {}
    first, pictures = np.empty(len(pixels), np.int64), []
    with ThreadPoolExecutor(os.cpu_count()) as pool, progress("looking at images", len(pixels)) as tick:
        for row, (digest, canvas) in enumerate(pool.map(one, range(len(pixels)))):
            first[row] = seen.setdefault(digest, row)
            pictures.append(canvas)
            tick(1)
    return first, np.stack(pictures, axis=1)


def _verify(
    pictures: NDArray[np.uint8], candidates: Candidates, progress: Progress
) -> list[tuple[float, int, int]]:
    """List the pairs that agree: agreement, lower row, higher row. A pair found in one frame is done with."""
    low, high = (f(candidates.first, candidates.second) for f in (np.minimum, np.maximum))
    key = low * pictures.shape[1] + high
    found: list[tuple[float, int, int]] = []
    done = np.empty(0, np.int64)
    with ThreadPoolExecutor(os.cpu_count()) as pool, progress("comparing pairs", len(key)) as tick:
        for frame in np.unique(candidates.frame)[::-1]:
            own = np.flatnonzero((candidates.frame == frame) & ~np.isin(key, done))
            tick(int((candidates.frame == frame).sum()) - len(own))
            parts = [own[start : start + CHUNK] for start in range(0, len(own), CHUNK)]
            for part, values in zip(
                parts, pool.map(partial(_compared, pictures, candidates), parts), strict=True
            ):
                twins = values >= ALIKE
                rows = part[twins]
                found += zip(values[twins].tolist(), low[rows].tolist(), high[rows].tolist(), strict=True)
                done = np.append(done, key[rows])
                tick(len(part))
    return found


def _compared(pictures: NDArray[np.uint8], candidates: Candidates, part: Rows) -> NDArray[np.float64]:
    """Look at pairs ever more closely, each time only at what is still alike; 0 for all others."""
    frame, turn = candidates.frame[part], candidates.turn[part]
    first = pictures[frame, candidates.second[part]]
    second = pictures[frame, candidates.first[part]]
    for one in np.unique(turn):
        second[turn == one] = turned(second[turn == one], int(one))
    scale = np.repeat(candidates.scale[part, None], 2, axis=1)
    found = np.zeros(len(first))

    def laid(rows: Rows, factor: int, scale: Any, shift: Any) -> tuple[NDArray[Any], ...]:
        one, other = (structure(shrunk(x[rows], factor)) for x in (first, second))
        return likeness(one, other, scale, shift)

    def agreed(rows: Rows, factor: int) -> NDArray[Any]:
        if not len(rows):
            return np.empty(0)
        one, other = (detail(shrunk(x[rows], factor)) for x in (first, second))
        return agreement(one, other, scale[rows], shift[rows])

    correlation, scale, shift = laid(np.arange(len(first)), 4, scale, np.zeros_like(scale))
    alike = np.flatnonzero(correlation >= ALIKE_FROM_AFAR)
    alike = alike[agreed(alike, 2) >= WORTH_A_LOOK]
    found[alike] = agreed(alike, 1)
    doubtful = alike[(found[alike] >= WORTH_A_LOOK) & (found[alike] < ALIKE)]
    if len(doubtful):
        _, scale[doubtful], shift[doubtful] = laid(doubtful, 2, scale[doubtful], shift[doubtful])
        found[doubtful] = np.maximum(found[doubtful], agreed(doubtful, 1))
    return found


def _components(n: int, pairs: Rows) -> Rows:
    ones = np.ones(len(pairs), np.int8)
    graph = coo_matrix((ones, (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    return _numbered(connected_components(graph, directed=False)[1])


def _numbered(codes: NDArray[Any]) -> Rows:
    """Renumber codes in the order in which they first occur."""
    _, first, back = np.unique(codes, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[back]


def _members(cluster: Rows) -> list[Rows]:
    """List each cluster's rows, by cluster number."""
    order = np.argsort(cluster, kind="stable")
    return np.split(order, np.cumsum(np.bincount(cluster))[:-1])
