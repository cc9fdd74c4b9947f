"""Splits that keep groups whole and classes in proportion."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.errors import DataError, LeakageError

Rows = NDArray[np.int64]

SPLITS = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "val",
    "valid": "val",
    "validation": "val",
}
"""Names of the parts of a published split, and what the ``split`` column calls them."""


@dataclass(frozen=True, slots=True)
class Split:
    """One division of a set into training and test rows.

    Attributes
    ----------
    repeat, fold : int
    train, test : int64 arrays
        Row numbers, ascending.
    dropped : int
        Rows of a published training part that were left out because their group stands in the test part.
    twins : int
        Test rows whose group stood in the published training part too.
    """

    repeat: int
    fold: int
    train: Rows
    test: Rows
    dropped: int = 0
    twins: int = 0


def stratified_group_folds(y: NDArray[Any], groups: NDArray[Any], folds: int, seed: int) -> NDArray[np.int64]:
    """Deal groups to folds so that each fold gets its share of every class.

    Groups are taken in random order, those with most images of one class first, and each goes to the fold
    that it leaves least unequal, the rarest class weighing most. With every image in a group of its own
    this is plain stratified dealing.

    Parameters
    ----------
    y : (n,) array
        Classes.
    groups : (n,) array
        Images with the same value stay together.
    folds : int
    seed : int

    Returns
    -------
    (n,) int64 array
        The fold of each row.

    Raises
    ------
    DataError
        If a class has fewer groups than there are folds.
    """
    classes, codes = np.unique(y, return_inverse=True)
    names, members = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), len(classes)))
    np.add.at(counts, (members, codes), 1)
    scarce = [(int((counts[:, c] > 0).sum()), label) for c, label in enumerate(classes)]
    fewest, label = min(scarce, key=lambda pair: pair[0])
    if fewest < folds:
        raise DataError(
            f"class {str(label)!r} has only {fewest} group{'s' * (fewest != 1)} (patients, near duplicates) "
            f"for {folds} folds; use --folds {fewest} or add images"
            if fewest > 1
            else f"class {str(label)!r} has one group (patient, near duplicates) only, so it cannot be both "
            "trained on and tested"
        )
    shares = counts / counts.sum(axis=0)
    random = np.random.default_rng(seed)
    order = random.permutation(len(names))
    order = order[np.argsort(-counts[order].max(axis=1), kind="stable")]
    if (counts.sum(axis=1) == 1).all():
        return _deal_rows(codes[np.argsort(members)][order], order, len(classes), folds, random)[members]
    fold_of = np.empty(len(names), np.int64)
    load = np.zeros((folds, len(classes)))
    size = np.zeros(folds)
    for group in order:
        present = shares[group] > 0
        after = load[:, present] + shares[group, present]
        cost = after.max(axis=1) + 1e-9 * size
        fold_of[group] = int(np.argmin(cost))
        load[fold_of[group]] += shares[group]
        size[fold_of[group]] += counts[group].sum()
    return fold_of[members]


def _deal_rows(
    codes: Rows, order: Rows, classes: int, folds: int, random: np.random.Generator
) -> NDArray[np.int64]:
    fold_of = np.empty(len(order), np.int64)
    start = 0
    for code in range(classes):
        rows = order[codes == code]
        fold_of[rows] = (start + np.arange(len(rows))) % folds
        start += len(rows)  # the next class goes on where this one stopped: fold sizes differ by one at most
    return fold_of


def fewest_groups(y: NDArray[Any], groups: NDArray[Any]) -> int:
    """Count the groups of the class that has fewest."""
    return min(len(np.unique(groups[y == label])) for label in np.unique(y))


def mixed_groups(y: NDArray[Any], groups: NDArray[Any]) -> int:
    """Count the groups that hold images of more than one class."""
    pairs = np.unique(np.stack([np.asarray(groups).astype(str), np.asarray(y).astype(str)]), axis=1)
    return int((np.unique(pairs[0], return_counts=True)[1] > 1).sum())


def group_splits(
    y: NDArray[Any], groups: NDArray[Any], folds: int, repeats: int, seed: int
) -> Iterator[Split]:
    """Repeat stratified group k-fold, each repeat from a seed of its own."""
    for repeat in range(repeats):
        fold_of = stratified_group_folds(y, groups, folds, seed=_seed(seed, repeat))
        for fold in range(folds):
            yield Split(repeat, fold, np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold))


def published_split(parts: NDArray[Any], y: NDArray[Any], groups: NDArray[Any]) -> Split:
    """Take the split that a set was published with, without the training rows that would leak into its test.

    Parameters
    ----------
    parts : (n,) str array
        Keys of `SPLITS`, in any case; a validation part is there to develop on, so it joins the training
        rows.
    y : (n,) array
        1 = anomalous; or the names of more classes.
    groups : (n,) array
        A training row whose group stands in the test part is dropped, and counted.

    Returns
    -------
    Split
        Repeat 0, fold 0.

    Raises
    ------
    DataError
        If a row belongs to no part, or a class is missing on one side.
    """
    names = np.array([SPLITS.get(str(part).strip().lower(), "") for part in parts])
    if (names == "").any():
        odd = str(np.asarray(parts)[names == ""][0])
        raise DataError(
            f"the column split holds {odd!r}, which is no part of a split; "
            "write train, val or test in every row"
        )
    test, train = np.flatnonzero(names == "test"), np.flatnonzero(names != "test")
    known = np.isin(groups[train], groups[test])
    twins = int(np.isin(groups[test], groups[train]).sum())
    kept = train[~known]
    twinless = "training part without the groups that are tested"
    kinds = {0: "normal", 1: "anomalous"}
    for code, kind in kinds.items() if y.dtype.kind in "iu" else ((c, repr(str(c))) for c in np.unique(y)):
        for rows, side in ((test, "test part"), (train, "training part"), (kept, twinless)):
            if code not in y[rows]:
                raise DataError(f"the published {side} has no {kind} image; leave out --split published")
    return Split(0, 0, kept, test, int(known.sum()), twins)


def _seed(seed: int, repeat: int) -> int:
    return int(np.random.SeedSequence([seed, repeat]).generate_state(1)[0])


def inner_split(y: NDArray[Any], groups: NDArray[Any], fraction: float, seed: int) -> tuple[Rows, Rows]:
    """Set a share of the rows aside for validation, groups whole: (training rows, validation rows)."""
    folds = max(2, min(round(1 / fraction), fewest_groups(y, groups)))
    held = stratified_group_folds(y, groups, folds, seed) == 0
    return np.flatnonzero(~held), np.flatnonzero(held)


def check_groups(groups: NDArray[Any], train: Rows, test: Rows) -> int:
    """Count the groups that stand on both sides of a split; there must be none.

    Raises
    ------
    LeakageError
        If a group, or a row, is on both sides.
    """
    shared = np.intersect1d(groups[train], groups[test])
    if len(shared):
        raise LeakageError(f"{len(shared)} group(s) stand in both training and test rows of a split")
    if len(np.intersect1d(train, test)):
        raise LeakageError("a row stands in both training and test rows of a split")
    return 0


def drop_anomalies(y: NDArray[Any], groups: NDArray[Any], rows: Rows, ratio: float, seed: int) -> Rows:
    """Drop anomalies from training rows, whole groups at a time, until normal : anomalous is `ratio` : 1.

    A group goes with its anomalous images only; its normal ones stay.

    Parameters
    ----------
    y : (n,) int array
        1 = anomalous.
    groups : (n,) array
    rows : int64 array
        The training rows.
    ratio : float
        Normal images for each anomalous one; a set that is rarer already is left as it is.
    seed : int

    Returns
    -------
    int64 array
        The rows that stay, ascending; at least one anomalous group is among them.
    """
    normal = int((y[rows] != 1).sum())
    return keep_anomalies(y, groups, rows, max(1.0, normal / ratio), seed)


def keep_anomalies(y: NDArray[Any], groups: NDArray[Any], rows: Rows, wanted: float, seed: int) -> Rows:
    """Drop anomalies from training rows, whole groups at a time, until at most `wanted` are left.

    With the same seed, what is left of fewer is part of what is left of more.

    Parameters
    ----------
    y : (n,) int array
        1 = anomalous.
    groups : (n,) array
    rows : int64 array
        The training rows.
    wanted : float
        Anomalous images; 0 leaves none, anything above at least one group.
    seed : int
    """
    anomalous = rows[y[rows] == 1]
    if len(anomalous) <= wanted:
        return rows
    if not wanted:
        return np.asarray(rows[y[rows] != 1])
    names = np.random.default_rng(seed).permutation(np.unique(groups[anomalous]))
    sizes = np.array([(groups[anomalous] == name).sum() for name in names])
    count = max(1, int(np.searchsorted(np.cumsum(sizes), wanted + 1e-9, side="right")))
    keep = np.isin(groups[anomalous], names[:count])
    return np.sort(np.concatenate([rows[y[rows] != 1], anomalous[keep]]))
