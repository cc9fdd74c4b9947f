"""SMOTE, then cleaning of what it made and of what was there: SMOTE-ENN, SMOTE-Tomek."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.utils._param_validation import StrOptions

from raresight.balance.base import PlanSampler
from raresight.balance.cleaning import Cleaner, EditedNearestNeighbours, TomekLinks
from raresight.balance.interpolation import NEIGHBOUR_COUNT
from raresight.balance.neighbours import METRICS, Gram, Neighbourhood
from raresight.balance.plan import SynthesisPlan
from raresight.balance.smote import SMOTE
from raresight.balance.synthetic import WithSynthetic

Array = NDArray[Any]
Rows = NDArray[np.int64]


class Hybrid(PlanSampler):
    """Base of the samplers that clean what SMOTE made."""

    distances = True

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **PlanSampler._parameter_constraints,
        "k_neighbors": NEIGHBOUR_COUNT,
        "smote": [SMOTE, None],
        "metric": [StrOptions(set(METRICS))],
        "compatible": ["boolean"],
    }
    k_neighbors: Any
    smote: Any
    metric: str
    compatible: bool

    def _smote(self) -> SMOTE:
        if self.smote is not None:
            return clone(self.smote)  # type: ignore[no-any-return]
        return SMOTE(
            sampling_strategy=self.sampling_strategy,
            random_state=self.random_state,
            k_neighbors=self.k_neighbors,
            metric=self.metric,
            compatible=self.compatible,
        )

    def _cleaner(self) -> Cleaner:
        raise NotImplementedError

    def _plan(self, Z: Array, y: Array, groups: Array | None, gram: Gram | None) -> SynthesisPlan:
        smote, cleaner = self._smote(), self._cleaner()
        if gram is None and not (self.compatible or smote.compatible):
            gram = Gram.of(Z, metric=smote.metric)
        plan = smote.plan(Z, y, groups=groups, gram=gram)
        labels = plan.labels(y)
        kept = cleaner.clean(self._neighbourhood(cleaner, plan, Z, gram), labels)
        return chosen(plan, kept, len(y))

    def _neighbourhood(
        self, cleaner: Cleaner, plan: SynthesisPlan, Z: Array, gram: Gram | None
    ) -> Neighbourhood:
        option = getattr(cleaner, "n_neighbors", 1)
        if gram is None or not isinstance(option, int | np.integer):
            rows = plan.balanced(Z)
            return cleaner._own(cleaner.neighbourhood(rows, None), rows)
        return WithSynthetic(gram, plan)


class SMOTEENN(Hybrid):
    """SMOTE, then edited nearest neighbours in all classes, synthetic rows included.

    With the same seed the rows are imbalanced-learn's; `fit_resample` has them in its order, class after
    class.

    Source: Batista, Prati & Monard, "A study of the behavior of several methods for balancing machine
    learning training data", ACM SIGKDD Explorations 6 (2004), 20–29.

    Parameters
    ----------
    sampling_strategy, random_state
        See `SMOTE`.
    k_neighbors : int
        Of SMOTE.
    smote : SMOTE, optional
        In place of the one that the options above describe.
    enn : EditedNearestNeighbours, optional
        By default it cleans all classes.
    metric : {"euclidean", "cosine"}
    compatible : bool
        See `Interpolator` and `Cleaner`.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Hybrid._parameter_constraints,
        "enn": [EditedNearestNeighbours, None],
    }

    def __init__(
        self,
        *,
        sampling_strategy: Any = "auto",
        random_state: Any = None,
        k_neighbors: Any = 5,
        smote: SMOTE | None = None,
        enn: EditedNearestNeighbours | None = None,
        metric: str = "euclidean",
        compatible: bool = False,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy, random_state=random_state)
        self.k_neighbors = k_neighbors
        self.smote = smote
        self.enn = enn
        self.metric = metric
        self.compatible = compatible

    def _cleaner(self) -> Cleaner:
        if self.enn is not None:
            return clone(self.enn)  # type: ignore[no-any-return]
        return EditedNearestNeighbours(
            sampling_strategy="all", metric=self.metric, compatible=self.compatible
        )

    def _order(self, plan: SynthesisPlan, labels: Array) -> Rows | None:
        return np.argsort(labels, kind="stable")


class SMOTETomek(Hybrid):
    """SMOTE, then away with both ends of every Tomek link, synthetic rows included.

    With the same seed the rows are imbalanced-learn's.

    Source: Batista, Bazzan & Monard, "Balancing training data for automated annotation of keywords", WOB
    2003, 10–18.

    Parameters
    ----------
    sampling_strategy, random_state
        See `SMOTE`.
    k_neighbors : int
        Of SMOTE.
    smote : SMOTE, optional
        In place of the one that the options above describe.
    tomek : TomekLinks, optional
        By default it cleans all classes.
    metric : {"euclidean", "cosine"}
    compatible : bool
        See `Interpolator` and `Cleaner`.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Hybrid._parameter_constraints,
        "tomek": [TomekLinks, None],
    }

    def __init__(
        self,
        *,
        sampling_strategy: Any = "auto",
        random_state: Any = None,
        k_neighbors: Any = 5,
        smote: SMOTE | None = None,
        tomek: TomekLinks | None = None,
        metric: str = "euclidean",
        compatible: bool = False,
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy, random_state=random_state)
        self.k_neighbors = k_neighbors
        self.smote = smote
        self.tomek = tomek
        self.metric = metric
        self.compatible = compatible

    def _cleaner(self) -> Cleaner:
        if self.tomek is not None:
            return clone(self.tomek)  # type: ignore[no-any-return]
        return TomekLinks(sampling_strategy="all", metric=self.metric, compatible=self.compatible)


def chosen(plan: SynthesisPlan, kept: Rows, count: int) -> SynthesisPlan:
    """Leave of a plan over `count` training rows, none of them dropped yet, only some of its rows.

    Parameters
    ----------
    kept : int64 array
        Numbers of the training rows, then, from `count` on, of the synthetic ones.
    """
    made = kept[kept >= count] - count
    return replace(
        plan,
        base=plan.base[made],
        partner=plan.partner[made],
        step=plan.step[made],
        label=plan.label[made],
        keep=kept[kept < count],
        seed=None if plan.seed is None else plan.seed[made],
        law=None if plan.law is None else plan.law.take(made),
        donor=None if plan.donor is None else plan.donor[made],
    )
