"""Several images and a table a case, told together by one detector; what a case lacks is left aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from raresight.detect.base import Detector, flatten
from raresight.detect.classical import SVM, Logistic
from raresight.errors import DataError, OptionError
from raresight.represent.cases import Block

Array = NDArray[Any]

TABLE_C = 1.0
"""Inverse penalty of the table's own logistic regression: a handful of features need little of one."""

FOLDS = 5
"""Inner folds whose held-out scores the blocks' weights are learned from, fewer where anomalies are few."""


class Fusion(ClassifierMixin, Detector):  # type: ignore[misc]
    """Late or early fusion of blocks of features: a modality's embedding each, and the table.

    Late: one classifier a block, learned from the cases that have it; a logistic regression weighs their
    log odds, learned from out-of-fold ones (stacking), so that a block that memorises its rows gains nothing
    by it. A missing block's log odds are the training cases' mean, so that it says nothing for or against an
    anomaly; where blocks were missing in training, an indicator says so beside. Early: one classifier on all
    features, missing ones filled in by their training mean, with the same indicators.

    An indicator lets the detector learn from *that* an image is missing. Where sick cases were scanned more
    fully than well ones, that is a shortcut: ``raresight audit --probe file_flair`` looks for it.

    Source: Baltrušaitis, Ahuja & Morency, "Multimodal machine learning: a survey and taxonomy", IEEE TPAMI 41
    (2019), for early and late fusion; Wolpert, "Stacked generalization", Neural Networks 5 (1992).

    Parameters
    ----------
    how : {"late", "early"}
    base : {"logistic", "svm"}
        What learns from an image's block, or with early fusion from all; the table's is always logistic.
    C : float
        Inverse penalty of `base`, above 0; by default 0.01 for logistic regression and 2 for the SVM.
    random_state : int
        Of the inner folds.
    blocks : sequence of Block, optional
        Given by a recipe from the representation `cases`; without it all features are one block.

    Attributes
    ----------
    weights_ : dict of str to float
        Block → what its log odds are multiplied by (late fusion); a block too rare in training has none.
    missing_weights_ : dict of str to float
        Block → what is added where it is missing, for blocks that were missing in training.
    """

    sees = "cases"
    scaled = True
    logits = True
    grouped = True

    def __init__(
        self,
        how: str = "late",
        base: str = "logistic",
        C: float | None = None,
        random_state: int = 0,
        blocks: Any = None,
    ) -> None:
        if how not in ("late", "early"):
            raise OptionError(f"unknown fusion[how={how}]; choose late or early")
        if base not in ("logistic", "svm"):
            raise OptionError(f"unknown fusion[base={base}]; choose logistic or svm")
        self.how, self.base, self.C, self.random_state, self.blocks = how, base, C, random_state, blocks

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn from (n, features) rows, NaN where missing; `groups` stay together in inner folds.

        Raises
        ------
        DataError
            If no block is there in two groups of each class.
        """
        label, flat = np.asarray(y), flatten(X)
        group = np.arange(len(label)) if groups is None else np.asarray(groups)
        weight = np.ones(len(label)) if sample_weight is None else np.asarray(sample_weight, np.float64)
        named = tuple(self.blocks or (Block("all", 0, flat.shape[1]),))
        self.dtype_, self.classes_ = X.dtype, np.unique(label)
        if self.how == "early":
            named = (Block("all", 0, flat.shape[1]), *(b for b in named if _lacking(flat, b).any()))
        fit_part = self._fit_early if self.how == "early" else self._fit_late
        fit_part(flat, label, group, weight, named)
        return self

    def _fit_late(self, X: Array, y: Array, groups: Array, weight: Array, named: tuple[Block, ...]) -> None:
        self.members_: list[_Member] = []
        columns, marked = [], []
        for block in named:
            there = ~_lacking(X, block)
            folds = _inner_folds(y[there], groups[there], self.random_state)
            if folds is None:
                continue  # too rare to be judged: it says nothing
            held = np.empty(int(there.sum()))
            rows, labels, weights = X[there], y[there], weight[there]
            for part in np.unique(folds):
                learn = folds != part
                member = self._member(block).fit(rows[learn], labels[learn], weights[learn])
                held[~learn] = member.score(rows[~learn])
            member = self._member(block).fit(rows, labels, weights)
            member.centre = float(np.average(held, weights=weights))
            odds = np.zeros(len(y))
            odds[there] = held - member.centre
            self.members_.append(member)
            columns.append(odds)
            marked.append(~there)
        if not columns:
            raise DataError(
                "fusion needs images or columns that two groups of each class have; no modality and no table "
                "of these training cases is so"
            )
        lacked = [place for place, missing in enumerate(marked) if missing.any()]
        features = np.column_stack([*columns, *(marked[place] for place in lacked)])
        top = LogisticRegression(C=1.0, max_iter=2000).fit(features, y, sample_weight=weight)
        count = len(columns)
        for place, member in enumerate(self.members_):
            member.weight = float(top.coef_[0, place])
        for place, value in zip(lacked, top.coef_[0, count:], strict=True):
            self.members_[place].without = float(value)
        self.intercept_ = float(top.intercept_[0])
        self.weights_ = {member.block.name: member.weight for member in self.members_}
        self.missing_weights_ = {
            self.members_[place].block.name: self.members_[place].without for place in lacked
        }

    def _fit_early(self, X: Array, y: Array, groups: Array, weight: Array, named: tuple[Block, ...]) -> None:
        whole, lacked = named[0], named[1:]
        member = self._member(whole, lacked)
        member.always, member.weight = True, 1.0
        member.fit(X, y, weight)
        self.members_, self.intercept_ = [member], 0.0
        self.weights_, self.missing_weights_ = {whole.name: 1.0}, {}

    def _member(self, block: Block, lacked: tuple[Block, ...] = ()) -> _Member:
        if block.table:
            return _Member(block, Logistic(TABLE_C))
        default = 0.01 if self.base == "logistic" else 2.0
        kind = Logistic if self.base == "logistic" else SVM
        return _Member(block, kind(C=default if self.C is None else self.C), lacked)

    def contributions(self, X: Array) -> dict[str, NDArray[np.float64]]:
        """Tell what each block adds to a case's log odds: block → (n,); with `intercept_` they sum to them.

        With early fusion there is but one, ``all``.
        """
        flat = flatten(X)
        return {member.block.name: member.part(flat) for member in self.members_}

    def decision_function(self, X: Array) -> NDArray[np.float64]:
        """Give (n,) log odds of an anomaly."""
        parts = np.sum(list(self.contributions(X).values()), axis=0)
        return np.asarray(parts + self.intercept_, np.float64)

    def predict_proba(self, X: Array) -> NDArray[np.float64]:
        """Probability of normal and of anomalous, (n, 2)."""
        anomalous = expit(self.decision_function(X))
        return np.column_stack([1 - anomalous, anomalous])

    def predict(self, X: Array) -> Array:
        """Call each row by log odds of 0."""
        called: Array = self.classes_[(self.decision_function(X) >= 0).astype(int)]
        return called

    def scorer(self) -> Any:
        """Give the blocks' classifiers, the filling in and the weighing as one torch module."""
        from raresight.detect.fusion_graph import FusionGraph

        return FusionGraph(self.members_, self.intercept_, self.dtype_)

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Options that tuning tries."""
        return {
            "how": trial.suggest_categorical("how", ["late", "early"]),
            "C": trial.suggest_float("C", 1e-4, 1.0, log=True),
        }


@dataclass
class _Member:
    """One block's classifier, and what becomes of its score.

    Attributes
    ----------
    block : Block
    detector : Detector
    lacked : tuple of Block
        Blocks within it whose absence is a feature.
    mean : (features,) float32 array
        What is filled in.
    gaps : (g,) int64 array
        Features that cases of the block lacked now and then; each has an indicator.
    centre, weight, without : float
        The block adds ``weight · (score − centre)``, or `without` where it is missing.
    always : bool
        Whether rows that lack the block are filled in and scored nevertheless, as early fusion does.
    """

    block: Block
    detector: Any
    lacked: tuple[Block, ...] = ()
    centre: float = 0.0
    weight: float = 0.0
    without: float = 0.0
    always: bool = False

    def fit(self, X: Array, y: Array, weight: Array) -> Self:
        values = self._cut(X)
        empty = np.isnan(values)
        counts = np.maximum((~empty).sum(axis=0), 1)
        self.mean = (np.where(empty, 0, values).sum(axis=0, dtype=np.float64) / counts).astype(np.float32)
        inside = np.zeros(values.shape[1], bool)
        for part in self.lacked:
            inside[part.start : part.stop] = not part.table
        # A whole image that is missing has one indicator, not one for each of its features.
        self.gaps = np.flatnonzero(empty.any(axis=0) & ~inside)
        self.detector.fit(self.features(X), y, sample_weight=weight)
        return self

    def features(self, X: Array) -> Array:
        """Give what the classifier sees: (n, features + indicators), without NaN."""
        values = self._cut(X)
        empty = np.isnan(values)
        marks = [_lacking(X, part) for part in self.lacked if not part.table]
        filled = np.where(empty, self.mean, values)
        return np.column_stack([filled, empty[:, self.gaps], *marks]).astype(np.float32)

    def score(self, X: Array) -> NDArray[np.float64]:
        """Score (n, all features) rows."""
        return np.asarray(self.detector.decision_function(self.features(X)), np.float64)

    def part(self, X: Array) -> NDArray[np.float64]:
        """Tell what the block adds to the log odds of (n, all features) rows."""
        missing = _lacking(X, self.block) & np.full(len(X), not self.always)
        return np.where(missing, self.without, self.weight * (self.score(X) - self.centre))

    def _cut(self, X: Array) -> Array:
        return X[:, self.block.start : self.block.stop]


def _lacking(X: Array, block: Block) -> NDArray[np.bool_]:
    """Tell which rows lack a block: (n,) bool."""
    missing: NDArray[np.bool_] = np.asarray(np.isnan(X[:, block.start : block.stop]).all(axis=1))
    return missing


def _inner_folds(y: Array, groups: Array, seed: int) -> Array | None:
    """Give each row's inner fold, groups together; None where a class has fewer than two groups."""
    kinds = np.unique(y)
    folds = min([FOLDS, *(len(np.unique(groups[y == kind])) for kind in kinds)])
    if len(kinds) < 2 or folds < 2:
        return None
    fold = np.empty(len(y), np.int64)
    split = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(y, y, groups)
    for number, (_, held) in enumerate(split):
        fold[held] = number
    # Mixed groups may leave the training side of a fold with one class; then there is no honest split.
    if any(len(np.unique(y[fold != number])) < 2 for number in np.unique(fold)):
        return None
    return fold
