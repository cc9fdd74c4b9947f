"""Small models judged on the same grouped folds: the probes' boosted trees, and the real model beside them.

Out-of-fold probabilities of every class are all that the rest of the audit reads.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from raresight.detect.classical import SVM
from raresight.evidence.calibration import Platt
from raresight.evidence.estimates import known
from raresight.evidence.intervals import draw_groups, interval
from raresight.evidence.metrics import decision_metrics, ranking_metrics
from raresight.progress import Progress, silent

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

RESAMPLES = 1000

MOST_TRAINED = 8000
"""Rows that the real model learns from at most: their kernel matrix takes half a gigabyte."""

_CELLS_AT_ONCE = 500_000


@dataclass(frozen=True)
class Judge:
    """Folds, groups and classes that every probe and the real model share.

    Attributes
    ----------
    y : (n,) int64 array
        Classes 0 … k − 1; of two, 1 is the anomaly.
    groups : (n,) array
        Images that stay together.
    fold : (n,) int64 array
        The fold that tests each row.
    seed : int
    """

    y: Rows
    groups: NDArray[np.str_]
    fold: Rows
    seed: int = 0

    @property
    def classes(self) -> int:
        """How many classes there are."""
        return int(self.y.max()) + 1

    def boosted(self, X: NDArray[np.float32]) -> Floats:
        """Predict each row by boosted trees that did not see its fold.

        Parameters
        ----------
        X : (n, d) float32 array
            NaN is a value of its own.

        Returns
        -------
        (n, k) float64 array
            Probabilities.

        Notes
        -----
        Friedman, "Greedy function approximation", Annals of Statistics 29 (2001); binned as in Ke et al.,
        "LightGBM" (2017). Sixty shallow trees learn a plain shortcut and have little to overfit with.
        """
        found = np.empty((len(self.y), self.classes))

        def one(fold: int) -> None:
            test = self.fold == fold
            known = ~np.isnan(X[~test]).all(axis=0)  # a fact that no training file has cannot be binned
            seen = X[:, known] if known.any() else np.zeros((len(X), 1), np.float32)
            trees = HistGradientBoostingClassifier(
                max_iter=60, learning_rate=0.15, max_leaf_nodes=15, max_bins=64,
                early_stopping=False, random_state=self.seed,
            )  # fmt: skip
            # OpenMP's threads wait for each other by spinning: beside other work they are 20 times slower.
            with threadpool_limits(1, "openmp"):
                trees.fit(seen[~test], self.y[~test])
                found[test] = trees.predict_proba(seen[test])

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(one, np.unique(self.fold)))
        return found

    def real(self, X: NDArray[np.float32], progress: Progress = silent) -> tuple[Floats, Floats]:
        """Predict each row by the real model, ``svm``, trained on other folds; each class against the rest.

        One kernel matrix a fold serves every class.

        Parameters
        ----------
        X : (n, d) float32 array
            The representation.
        progress : callable, optional

        Returns
        -------
        score, probability : (n, k) float64 arrays
            Margins, and what Platt's calibration makes of them: each fold's two parameters come from the
            other folds' out-of-fold margins. Rows of `probability` sum to 1.
        """
        kinds = range(self.classes) if self.classes > 2 else (1,)
        score = np.zeros((len(self.y), self.classes))
        with progress("training the model", int(self.fold.max()) + 1) as tick:
            for fold in np.unique(self.fold):
                test, train = self.fold == fold, self._training_rows(fold)
                seen, unseen = _kernels(X[train], X[test])
                for kind in kinds:
                    machine = SVC(C=SVM().C, kernel="precomputed", cache_size=500)
                    machine.fit(seen, self.y[train] == kind)
                    score[test, kind] = machine.decision_function(unseen)
                tick(1)
        chance = np.zeros_like(score)
        for fold in np.unique(self.fold):
            test = self.fold == fold
            for kind in kinds:
                platt = Platt().fit(score[~test, kind], (self.y[~test] == kind).astype(int))
                chance[test, kind] = platt.predict(score[test, kind])
        if self.classes == 2:
            score[:, 0], chance[:, 0] = -score[:, 1], 1 - chance[:, 1]
        return score, chance / chance.sum(axis=1, keepdims=True)

    def _training_rows(self, fold: int) -> Rows:
        """Give the rows outside a fold; of a large set a part, each class in proportion."""
        train = np.flatnonzero(self.fold != fold)
        if len(train) <= MOST_TRAINED:
            return train
        order = np.random.default_rng([self.seed, fold]).permutation(train)
        by_class = order[np.argsort(self.y[order], kind="stable")]
        return np.sort(by_class[np.linspace(0, len(train) - 1, MOST_TRAINED).round().astype(int)])

    def cells(self, score: Floats, called: Rows, kind: int) -> dict[str, dict[str, float | None]]:
        """Tell how well one class is told from the rest: AUROC and accuracy with their 95 % intervals.

        Parameters
        ----------
        score : (n, k) float64 array
        called : (n,) int64 array
            The class that each row is called.
        kind : int
            The class.

        Returns
        -------
        dict
            ``auroc`` and ``accuracy``: ``{"mean", "low", "high"}``; AUROC is the mean over folds, since
            scores of differently trained models are not on one scale.
        """
        own = self.y == kind
        _, codes = np.unique(self.groups, return_inverse=True)
        holds = np.bincount(codes, weights=own) > 0
        counts = np.vstack([np.ones(len(holds), np.uint16), draw_groups(holds, RESAMPLES, self.seed)])
        step = max(1, _CELLS_AT_ONCE // len(own))
        parts = []
        for start in range(0, len(counts), step):
            weights = counts[start : start + step, codes].astype(np.float64)
            parts.append(self._values(score[:, kind], called == kind, own, weights))
        auroc, accuracy = np.concatenate(parts, axis=1)
        kept = min(int(holds.sum()), int((~holds).sum()))
        return {
            "auroc": _cell("auroc", auroc, kept),
            "accuracy": _cell("accuracy", accuracy, len(holds)),
        }

    def _values(
        self, score: Floats, called: NDArray[np.bool_], own: NDArray[np.bool_], weights: Floats
    ) -> Floats:
        folds = [np.flatnonzero(self.fold == fold) for fold in np.unique(self.fold)]
        auroc = [ranking_metrics(own[rows], score[rows], weights[:, rows])["auroc"] for rows in folds]
        return np.stack([np.nanmean(auroc, axis=0), decision_metrics(own, called, weights)["accuracy"]])


def _cell(metric: str, values: Floats, groups: int) -> dict[str, float | None]:
    low, high = interval(metric, float(values[0]), values[1:], groups)
    return {"mean": known(float(values[0])), "low": known(low), "high": known(high)}


def _kernels(train: NDArray[np.float32], test: NDArray[np.float32]) -> tuple[Floats, Floats]:
    """Give the Gaussian kernel among training rows and from test to training rows, as ``svm`` sets it."""
    scaler = StandardScaler().fit(train)
    a, b = scaler.transform(train), scaler.transform(test)
    gamma = SVM().width / (a.shape[1] * (float(a.var()) or 1.0))
    squares = np.einsum("ij,ij->i", a, a, dtype=np.float64)

    def kernel(rows: NDArray[np.float32]) -> Floats:
        found: Floats = np.matmul(rows, a.T).astype(np.float64)
        found *= -2.0
        found += squares
        found += np.einsum("ij,ij->i", rows, rows, dtype=np.float64)[:, None]
        np.maximum(found, 0.0, out=found)
        found *= -gamma
        np.exp(found, out=found)
        return found

    return kernel(a), kernel(b)
