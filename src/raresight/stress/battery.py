"""What a fold's recipe is scored on beside its clean test rows: those rows corrupted, and another set."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raresight.experiment.external import External
from raresight.experiment.recipe import FittedRecipe
from raresight.images.cache import content_hash
from raresight.images.manifest import ClosedSource, Manifest
from raresight.images.splits import Rows
from raresight.images.store import ImageStore
from raresight.progress import Progress, silent
from raresight.represent import REPRESENTATIONS
from raresight.spec import Spec
from raresight.stress.corruptions import Condition, corrupt_images
from raresight.stress.scorer import FoldScorer, Scores, score_condition

OTHER = "external"
"""What stands in the place of a corruption's name for rows of another set."""

KEPT_SPACES = frozenset({"embedding"})
"""Representations dear to compute, alike for all recipes and small to keep: computed once for all."""

CORRUPTION_VERSION = 1
"""Raise it with every change that changes a corrupted pixel: it is part of the kept features' names."""


@dataclass(frozen=True)
class Battery(External):
    """Corrupted test rows and another set, in the place that a task has for an external set.

    A task scores these rows after training, calibrates their scores and asserts that nothing was learned from
    them, as it does with any external set: so the protocol is exactly that of a comparison.

    Attributes
    ----------
    store : ImageStore
        With one's own rows, then those of the other set, in its manifest; the pixels are one's own.
    groups : array
        Of both.
    rows : int64 array
        One's own tested rows once for each condition, then the other set's.
    tested : int64 array
        Rows that are corrupted.
    chosen : int64 array
        All rows of the set that any fold corrupts, ascending.
    conditions : tuple of Condition
    seed : int
    other : External or None
    """

    tested: Rows
    chosen: Rows
    conditions: tuple[Condition, ...]
    seed: int
    other: External | None

    def predict(self, fitted: FittedRecipe) -> Scores:
        """Score the rows, with the detector's own probabilities."""
        parts = [self._corrupted(fitted, condition) for condition in self.conditions]
        if self.other is not None:
            parts.append(self.other.predict(fitted))
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def _corrupted(self, fitted: FittedRecipe, condition: Condition) -> Scores:
        scorer = FoldScorer(fitted)
        space = fitted.recipe.representation
        if space.name not in KEPT_SPACES:
            return score_condition(scorer, self.store.pixels[self.tested], condition, self.seed)
        whole = kept_features(self.store, space, self.chosen, condition, self.seed)
        return scorer.score_seen(whole[np.searchsorted(self.chosen, self.tested)])

    def label(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Name each prediction's condition; rows of the other set are numbered as that set numbers them."""
        each, n = len(self.tested), len(self.tested) * len(self.conditions)
        others = len(frame) - n
        names = [c.corruption for c in self.conditions for _ in range(each)] + [OTHER] * others
        severities = [c.severity for c in self.conditions for _ in range(each)] + [0] * others
        rows = frame["row"].to_numpy().copy()
        rows[n:] -= len(self.store) - self._others
        return frame.assign(corruption=names, severity=severities, row=rows)

    @property
    def _others(self) -> int:
        return 0 if self.other is None else len(self.other.store)


def make_battery(
    store: ImageStore,
    groups: NDArray[Any],
    chosen: Rows,
    conditions: Sequence[Condition],
    seed: int,
    other: External | None,
) -> Battery:
    """Put a battery together that no fold's rows have been chosen for; see `for_fold`."""
    sets = [(store, groups)] if other is None else [(store, groups), (other.store, other.groups)]
    table = pd.DataFrame(
        {
            "file": [file for part, _ in sets for file in part.manifest.files],
            "label": [("normal", "anomalous")[code] for part, _ in sets for code in part.manifest.y],
        }
    )
    both = Manifest(table, ClosedSource(), store.manifest.name, ("normal",))
    names = np.concatenate([np.asarray(own).astype(str) for _, own in sets])
    if other is not None:
        other = replace(other, store=replace(other.store, manifest=other.store.manifest.closed()))
    nothing = np.empty(0, np.int64)
    shape = store.pixels.shape[3], store.pixels.dtype
    directory = replace(store, manifest=both)
    return Battery(
        directory, names, nothing, 0, *shape, nothing, np.sort(chosen), tuple(conditions), seed, other
    )


def for_fold(battery: Battery, test: Rows) -> Battery:
    """Take those of a fold's test rows that are to be corrupted."""
    tested = battery.chosen[np.isin(battery.chosen, test)]
    rows = [tested] * len(battery.conditions)
    if battery.other is not None:
        own = len(battery.store) - len(battery.other.store)
        rows.append(own + battery.other.rows)
    return replace(battery, tested=tested, rows=np.concatenate(rows))


def kept_features(
    store: ImageStore, space: Spec, rows: Rows, condition: Condition, seed: int
) -> NDArray[Any]:
    """Give the features of corrupted rows, (len(rows), features), computed once and kept beside the store."""
    made = space.make(REPRESENTATIONS)
    mark = content_hash(made.key, rows.tolist(), str(condition), seed, CORRUPTION_VERSION)
    return store.derived(
        f"stress-{mark}", lambda: made.of(corrupt_images(store.pixels[rows], condition, seed))
    )


def prepare_features(
    battery: Battery, spaces: Sequence[Spec], progress: Progress = silent, workers: int | None = None
) -> None:
    """Compute what all recipes share, several conditions at once; the result does not depend on how many."""
    shared = [space for space in spaces if space.name in KEPT_SPACES]
    calls = [(space, condition) for space in shared for condition in battery.conditions]
    if not calls:
        return
    with (
        progress("embedding corrupted images", len(calls)) as tick,
        ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool,
    ):

        def one(call: tuple[Spec, Condition]) -> None:
            kept_features(battery.store, call[0], battery.chosen, call[1], battery.seed)
            tick(1)

        list(pool.map(one, calls))
