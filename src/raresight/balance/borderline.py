"""Samplers that look for the border: Borderline-SMOTE 1 and 2, SVM-SMOTE."""

from __future__ import annotations

import numbers
import warnings
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.svm import SVC
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from raresight.balance.features import UnusableRowsError, width
from raresight.balance.interpolation import (
    NEIGHBOUR_COUNT,
    Interpolator,
    Pairs,
    Random,
    Training,
    join,
)
from raresight.balance.neighbours import Computed, Gram, Neighbourhood, pieces

Array = NDArray[Any]
Rows = NDArray[np.int64]


def share_of_strangers(y: Array, around: Rows, label: Any) -> NDArray[np.float64]:
    """Give the share of each row's neighbours that are of another class."""
    return np.asarray((y[around] != label).mean(axis=1))


class BorderlineSMOTE(Interpolator):
    """SMOTE from rows in danger only: at least half, but not all, of their neighbours are strangers.

    Source: Han, Wang & Mao, "Borderline-SMOTE: a new over-sampling method in imbalanced data sets learning",
    ICIC 2005, 878–887. Kind 2 also moves towards nearest rows of other classes, but less than half-way;
    imbalanced-learn draws two numbers for that step and multiplies them, so that it stays below a quarter on
    average an eighth (``compatible=True``). Where no row is in danger, the paper's kinds make nothing; here
    all rows of the class that aren't noise are the bases, with a warning, so that the counts are those asked
    for (with ``compatible=True`` nothing is made).

    Parameters
    ----------
    sampling_strategy, random_state, k_neighbors, metric, neighbours, distinct, partners, compatible
        See `Interpolator`.
    m_neighbors : int or estimator
        Neighbours, of any class, that say whether a row is in danger.
    kind : {"borderline-1", "borderline-2"}
    """

    distances = True

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Interpolator._parameter_constraints,
        "m_neighbors": NEIGHBOUR_COUNT,
        "kind": [StrOptions({"borderline-1", "borderline-2"})],
    }

    def __init__(
        self,
        *,
        sampling_strategy: Any = "auto",
        random_state: Any = None,
        k_neighbors: Any = 5,
        m_neighbors: Any = 10,
        kind: str = "borderline-1",
        metric: str = "euclidean",
        neighbours: str = "exact",
        distinct: bool = True,
        partners: str = "any",
        compatible: bool = False,
    ) -> None:
        super().__init__(
            sampling_strategy=sampling_strategy,
            random_state=random_state,
            k_neighbors=k_neighbors,
            metric=metric,
            neighbours=neighbours,
            distinct=distinct,
            partners=partners,
            compatible=compatible,
        )
        self.m_neighbors = m_neighbors
        self.kind = kind

    def _between(self, training: Training, label: Any, count: int, random: Random) -> Pairs:
        members = training.members(label)
        self._check_size(label, members)
        strangers = share_of_strangers(training.y, self._around(training, members), label)
        bases = members[(strangers >= 0.5) & (strangers < 1)]
        if not len(bases):
            if self.compatible:
                return Pairs(bases, bases, np.empty(0))
            warnings.warn(
                f"no row of class {label} is in danger; all that aren't noise are the bases", stacklevel=2
            )
            bases = members[strangers < 1] if (strangers < 1).any() else members
        others = members if self.kind == "borderline-1" else training.all
        pairs = self._draw(bases, self._nearest(training, bases, others), count, random)
        return (
            pairs if self.kind == "borderline-1" else self._towards_strangers(training, label, pairs, random)
        )

    def _towards_strangers(self, training: Training, label: Any, pairs: Pairs, random: Random) -> Pairs:
        strange = training.y[pairs.partner] != label
        step = pairs.step.copy()
        if self.compatible:
            step[strange] *= check_random_state(self.random_state).uniform(0.0, 0.5, int(strange.sum()))
        else:
            step[strange] *= 0.5
        return Pairs(pairs.base, pairs.partner, step)


class BorderlineSMOTE2(BorderlineSMOTE):
    """Borderline-SMOTE of kind 2; see `BorderlineSMOTE`.

    Parameters
    ----------
    sampling_strategy, random_state, k_neighbors, m_neighbors, metric, neighbours
        See `BorderlineSMOTE`.
    distinct, partners, compatible
        See `BorderlineSMOTE`.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        k: v for k, v in BorderlineSMOTE._parameter_constraints.items() if k != "kind"
    }

    def __init__(
        self,
        *,
        sampling_strategy: Any = "auto",
        random_state: Any = None,
        k_neighbors: Any = 5,
        m_neighbors: Any = 10,
        metric: str = "euclidean",
        neighbours: str = "exact",
        distinct: bool = True,
        partners: str = "any",
        compatible: bool = False,
    ) -> None:
        super().__init__(
            sampling_strategy=sampling_strategy,
            random_state=random_state,
            k_neighbors=k_neighbors,
            m_neighbors=m_neighbors,
            kind="borderline-2",
            metric=metric,
            neighbours=neighbours,
            distinct=distinct,
            partners=partners,
            compatible=compatible,
        )


class SVMSMOTE(Interpolator):
    """SMOTE that starts from support vectors: inwards where strangers are near, outwards where they aren't.

    Source: Nguyen, Cooper & Kamei, "Borderline over-sampling for imbalanced data classification", Int. J. of
    Knowledge Engineering and Soft Data Paradigms 3 (2011), 4–21. The default machine is scikit-learn's
    ``SVC(gamma="scale")``, with its kernel from the Gram matrix. imbalanced-learn makes too few rows where
    all support vectors are of one sort (``compatible=True``); here the counts are those asked for.

    Parameters
    ----------
    sampling_strategy, random_state, k_neighbors, metric, neighbours, distinct, partners, compatible
        See `Interpolator`.
    m_neighbors : int or estimator
        Neighbours, of any class, that say whether a row is in danger, or noise.
    svm_estimator : estimator, optional
        With ``support_`` after fitting.
    out_step : float
        0 … 1, how far outwards at most.
    """

    distances = True

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Interpolator._parameter_constraints,
        "m_neighbors": NEIGHBOUR_COUNT,
        "svm_estimator": [HasMethods(["fit", "predict"]), None],
        "out_step": [Interval(numbers.Real, 0, 1, closed="both")],
    }

    def __init__(
        self,
        *,
        sampling_strategy: Any = "auto",
        random_state: Any = None,
        k_neighbors: Any = 5,
        m_neighbors: Any = 10,
        svm_estimator: Any = None,
        out_step: float = 0.5,
        metric: str = "euclidean",
        neighbours: str = "exact",
        distinct: bool = True,
        partners: str = "any",
        compatible: bool = False,
    ) -> None:
        super().__init__(
            sampling_strategy=sampling_strategy,
            random_state=random_state,
            k_neighbors=k_neighbors,
            metric=metric,
            neighbours=neighbours,
            distinct=distinct,
            partners=partners,
            compatible=compatible,
        )
        self.m_neighbors = m_neighbors
        self.svm_estimator = svm_estimator
        self.out_step = out_step

    def _neighbourhood(self, Z: Array, gram: Gram | None) -> Neighbourhood:
        near = super()._neighbourhood(Z, gram)
        # The machine's kernel takes all distances anyway.
        return near.gram() if isinstance(near, Computed) else near

    def _between(self, training: Training, label: Any, count: int, random: Random) -> Pairs:
        members = training.members(label)
        self._check_size(label, members)
        support = self._support(training)
        support = support[training.y[support] == label]
        strangers = share_of_strangers(training.y, self._around(training, support), label)
        if not (strangers < 1).any():
            raise UnusableRowsError(
                f"all support vectors of class {label} are noise: every neighbour is of another class; "
                "use another sampler, for example smote"
            )
        inwards = support[(strangers >= 0.5) & (strangers < 1)]
        outwards = support[strangers < 0.5]
        share = int(random.beta(10, 10) * (count + 1))
        if not self.compatible:
            share = 0 if not len(inwards) else count if not len(outwards) else share
        parts = []
        for bases, number, reach in ((inwards, share, 1.0), (outwards, count - share, -self.out_step)):
            if len(bases):
                near = self._nearest(training, bases, members)
                parts.append(self._draw(bases, near, number, random, reach))
        return join(parts)

    def _support(self, training: Training) -> Rows:
        if self.svm_estimator is None and isinstance(training.near, Gram):
            return self._support_from_gram(training, training.near)
        machine = SVC(gamma="scale", random_state=self.random_state)
        machine = machine if self.svm_estimator is None else clone(self.svm_estimator)
        machine.fit(training.Z.reshape(len(training.Z), -1), training.y)
        if not hasattr(machine, "support_"):
            raise RuntimeError(
                "svm_estimator needs the attribute support_ after fitting; give a support vector machine"
            )
        return np.asarray(machine.support_)

    def _support_from_gram(self, training: Training, gram: Gram) -> Rows:
        spread = _variance(training.Z) * width(training.Z)
        kernel = np.empty((len(gram), len(gram)))
        for piece in pieces(len(gram), len(gram)):
            kernel[piece] = gram.distances(training.all[piece], training.all)
        np.exp(np.multiply(kernel, -1.0 / spread if spread else -1.0, out=kernel), out=kernel)
        return np.asarray(SVC(kernel="precomputed").fit(kernel, training.y).support_)


def _variance(Z: Array) -> float:
    """Give the variance of all values, a block of rows at a time."""
    count, total, squares = int(np.prod(Z.shape)), 0.0, 0.0
    middle = float(np.mean(Z[:1], dtype=np.float64))
    for piece in pieces(len(Z), width(Z)):
        values = Z[piece].astype(np.float64) - middle
        total += float(values.sum())
        squares += float((values**2).sum())
    return max(0.0, squares / count - (total / count) ** 2)
