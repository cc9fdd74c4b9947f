"""Which images of a set stay together: those of a patient, and those that are one picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from raresight.images.manifest import Manifest
from raresight.images.preprocess import Preprocess
from raresight.images.splits import mixed_groups
from raresight.images.store import ImageStore, build_store
from raresight.images.twins import (
    ALWAYS_MERGED,
    LARGEST_SHARE,
    Twins,
    cluster_twins,
    contradictory_groups,
    find_twins,
    twin_groups,
)
from raresight.progress import Progress, silent

AS_THEY_ARE = Preprocess()
"""How images are seen where twins are sought, whatever the models see: so folds don't depend on it."""


@dataclass(frozen=True)
class Grouping:
    """Which images of a set stay together, and why.

    Attributes
    ----------
    choice : str
        ``"auto"``, ``"off"`` or a column of the manifest.
    names : (n,) str array
        Each row's group: patient ∪ near-duplicate cluster; with ``"off"`` each row has its own.
    named : (n,) str array
        The groups before twins joined them.
    twins : Twins or None
        None with ``"off"``: none were sought.
    """

    choice: str
    names: NDArray[np.str_]
    named: NDArray[np.str_]
    twins: Twins | None

    def facts(self, manifest: Manifest) -> dict[str, Any]:
        """Count what stays together, for ``run.json``; no patient is named.

        Parameters
        ----------
        manifest : Manifest
            The rows that were grouped.

        Returns
        -------
        dict
            ``groups``; ``largest_group``, in images; ``mixed_groups``, with normal and anomalous images;
            ``patients``, how many the column names, None without one; ``duplicates``, None with ``"off"``,
            else ``groups`` of twins, ``exact`` and ``near`` ones among them, ``images`` in them, those with
            ``contradictory`` labels and those ``normal_and_anomalous`` (0 for several classes),
            the ``contradictions`` themselves,
            how many final groups twins ``joined`` of several, the ``largest_joined`` of these in images,
            and the sizes of clusters left ``unmerged``.
        """
        _, sizes = np.unique(self.names, return_counts=True)
        column = "group" if self.choice == "auto" else self.choice
        known = self.choice != "off" and column in manifest.table
        return {
            "groups": len(sizes),
            "largest_group": int(sizes.max()),
            "mixed_groups": mixed_groups(manifest.y, self.names),
            "patients": int(manifest.table[column].nunique()) if known else None,
            "duplicates": None if self.twins is None else self._duplicates(manifest, self.twins),
        }

    def _duplicates(self, manifest: Manifest, twins: Twins) -> dict[str, Any]:
        groups, files, labels = twins.groups(), manifest.files, manifest.labels
        against = contradictory_groups(groups, labels)
        opposite = [] if manifest.task == "multiclass" else contradictory_groups(groups, manifest.y)
        exact = sum(group.kind == "exact" for group in groups)
        joined = [group.rows for group in groups if len(np.unique(self.named[group.rows])) > 1]
        names = np.concatenate([self.names[rows] for rows in joined]) if joined else self.names[:0]
        _, sizes = np.unique(self.names[np.isin(self.names, names)], return_counts=True)
        return {
            "groups": len(groups),
            "exact": exact,
            "near": len(groups) - exact,
            "images": sum(len(group.rows) for group in groups),
            "contradictory": len(against),
            "normal_and_anomalous": len(opposite),
            "contradictions": [
                {"files": [files[row] for row in group.rows], "labels": labels[group.rows].tolist()}
                for group in against
            ],
            "joined": len(sizes),
            "largest_joined": int(sizes.max(initial=0)),
            "unmerged": [len(rows) for rows in twins.unmerged],
        }


def group_images(
    images: Manifest, store: ImageStore, choice: str = "auto", progress: Progress = silent
) -> Grouping:
    """Tell which images must stand on one side of every split.

    Parameters
    ----------
    images : Manifest
        The set as it was loaded.
    store : ImageStore
        What models see of it; its rows are grouped.
    choice : str
        ``"auto"``: patients, where the manifest names them, ∪ near-duplicate clusters; a column's name: its
        values ∪ near-duplicate clusters; ``"off"``: each image by itself, and no twin is sought.
    progress : callable, optional
        See `raresight.progress`.

    Raises
    ------
    OptionError
        If there is no such column.
    """
    named = store.manifest.groups(choice)
    if choice == "off":
        return Grouping(choice, named, named, None)
    twins = twins_as_they_are(images, store, progress)
    if choice == "auto":
        twins = _without_neighbours(twins, named)
    return Grouping(choice, twin_groups(named, twins.cluster), named, twins)


def _without_neighbours(twins: Twins, patients: NDArray[np.str_]) -> Twins:
    """Leave out near twins of one patient: neighbouring slices more often than copies, together anyway."""
    first, second = patients[twins.pairs].T
    kept = twins.exact | (first != second)
    return cluster_twins(len(patients), twins.pairs[kept], twins.exact[kept], twins.correlation[kept])


def twins_as_they_are(
    images: Manifest, store: ImageStore | None = None, progress: Progress = silent
) -> Twins:
    """Find the images that are one picture, by what they are before any preset or neutraliser.

    Parameters
    ----------
    images : Manifest
        The set as it was loaded, so that every preprocessing of it finds the same plain store.
    store : ImageStore, optional
        What models see of it.
    progress : callable, optional

    Returns
    -------
    Twins
        Of the rows of ``store.manifest``, or else of all of `images`.
    """
    if store is not None and store.preprocess == AS_THEY_ARE:
        return find_twins(store, progress)
    plain = build_store(images, AS_THEY_ARE, progress)
    wanted = images if store is None else store.manifest
    return _aligned(find_twins(plain, progress), plain.manifest.positions, wanted.positions)


def _aligned(twins: Twins, found: NDArray[np.int64], wanted: NDArray[np.int64]) -> Twins:
    """Say of other rows of the same set who are twins; a row that was not looked at has none."""
    if np.array_equal(found, wanted):
        return twins
    row_of = {int(position): row for row, position in enumerate(wanted)}
    row = np.array([row_of.get(int(position), -1) for position in found], dtype=np.int64)
    kept = row >= 0
    cluster = len(twins.cluster) + np.arange(len(wanted))
    cluster[row[kept]] = twins.cluster[kept]
    _, first, back = np.unique(cluster, return_index=True, return_inverse=True)
    pairs = row[twins.pairs]
    both = (pairs >= 0).all(axis=1)
    return replace(
        twins,
        cluster=np.argsort(np.argsort(first))[back],
        pairs=pairs[both],
        exact=twins.exact[both],
        correlation=twins.correlation[both],
        unmerged=tuple(row[rows][kept[rows]] for rows in twins.unmerged),
    )


# --- in words ------------------------------------------------------------------------------------


def grouping_sentences(choice: str, facts: Mapping[str, Any]) -> list[str]:
    """Say how groups were made and what was found.

    Parameters
    ----------
    choice : str
        See `group_images`.
    facts : mapping
        From `Grouping.facts`, with ``images``, the size of the set.

    Returns
    -------
    list of str
        Empty with ``"off"``, which is a matter of `grouping_warnings`, and for runs that know no duplicates.
    """
    found = facts.get("duplicates")
    return [] if found is None else [_duplicates(found), _patients(choice, facts["patients"], found)]


def grouping_warnings(choice: str, facts: Mapping[str, Any]) -> list[str]:
    """Say what groups cannot rule out.

    Parameters
    ----------
    choice, facts
        See `grouping_sentences`.
    """
    if choice == "off":
        return [
            "Groups are off: near duplicates and images of one patient may stand on both sides of a split, "
            "and every figure may look better than it is."
        ]
    found = facts.get("duplicates")
    if found is None:
        return []
    told = [_unmerged(found["unmerged"], facts["images"])] if found["unmerged"] else []
    largest, images = found["largest_joined"], facts["images"]
    if largest > max(ALWAYS_MERGED, LARGEST_SHARE * images):
        told.append(
            f"Duplicates join {largest:,} images ({_share(largest, images)} of the set) to one group; folds "
            "may be uneven."
        )
    return told


def _duplicates(found: Mapping[str, Any]) -> str:
    if not found["groups"]:
        return "No two images were found to be duplicates."
    stays = "group of duplicates stays" if found["groups"] == 1 else "groups of duplicates stay"
    told = (
        f"{found['groups']:,} {stays} on one side of every split "
        f"({found['images']:,} images; {found['exact']:,} exact, {found['near']:,} near)"
    )
    against, opposite = found["contradictory"], found["normal_and_anomalous"]
    if against:
        told += f"; {against:,} of them {'has' if against == 1 else 'have'} contradictory labels"
    if opposite:
        told += f", {opposite:,} both normal and anomalous"
    return f"{told}."


def _patients(choice: str, patients: int | None, found: Mapping[str, Any]) -> str:
    if patients is None:
        return "The set names no patients."
    by = "patient" if choice == "auto" else f"group of the column {choice}"
    told = f"Images of one {by} stay together ({patients:,} in all)"
    if found["joined"]:
        times = "one group" if found["joined"] == 1 else f"{found['joined']:,} groups"
        told += f"; duplicates across them made {times} of several"
    return f"{told}."


def _unmerged(sizes: Sequence[int], images: int) -> str:
    counted = " and ".join(f"{size:,}" for size in sizes)
    one = len(sizes) == 1
    return (
        f"{'A cluster' if one else 'Clusters'} of {counted} similar images ({_share(sum(sizes), images)} of "
        f"the set) {'was' if one else 'were'} not merged: rather a look that many images share than one "
        "picture. Near duplicates among them may stand on both sides of a split."
    )


def _share(count: int, images: int) -> str:
    return f"{100 * count / images:.0f} %"
