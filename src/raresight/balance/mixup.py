"""Rows between any two classes, with labels to match: Mixup, Balanced-Mixup, Remix, STEM."""

from __future__ import annotations

import numbers
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval

from raresight.balance.base import SEEDED, PlanSampler
from raresight.balance.hybrid import SMOTEENN
from raresight.balance.interpolation import Random
from raresight.balance.laws import Mixture
from raresight.balance.neighbours import Gram
from raresight.balance.plan import SynthesisPlan

Array = NDArray[Any]
Rows = NDArray[np.int64]

_POSITIVE = [Interval(numbers.Real, 0, None, closed="neither")]
_SHARE = [Interval(numbers.Real, 0, None, closed="left")]


class Mixup(PlanSampler):
    """Rows between any two training rows, labelled in the same proportion.

    A plan keeps the real rows and adds the mixed ones. Labels are soft, (m, classes), in `plan.label`; for
    detectors that take weights instead, `plan.weighted` gives each mixed row twice. `fit_resample` has only
    hard labels: the class with the larger share.

    Source: Zhang, Cissé, Dauphin & Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018.

    Parameters
    ----------
    random_state : int, RandomState or None
    alpha : float
        Above 0; the first row's share is drawn from Beta(alpha, alpha).
    share : float
        Mixed rows for each training row.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {**SEEDED, "alpha": _POSITIVE, "share": _SHARE}
    # imbalanced-learn's template asks for one; `share` says how many rows are made.
    sampling_strategy = "auto"

    def __init__(self, *, random_state: Any = None, alpha: float = 0.2, share: float = 1.0) -> None:
        self.random_state = random_state
        self.alpha = alpha
        self.share = share

    def _strategy(self, y: Array) -> dict[Any, int]:
        classes = np.unique(y)
        if len(classes) < 2:
            raise ValueError("mixing needs more than one class, and there is 1 class")
        return dict.fromkeys(classes.tolist(), 0)

    def _decide(self, Z: Array, y: Array, gram: Gram | None) -> SynthesisPlan:
        random = check_random_state(self.random_state)
        count = round(self.share * len(y))
        classes, codes = np.unique(y, return_inverse=True)
        first, second = self._pairs(codes, count, random)
        kept = self._first_share(count, random)
        label = mixed_labels(
            codes[first], codes[second], self._label_share(kept, codes, first, second), classes
        )
        return SynthesisPlan(
            first, second, (1 - kept).astype(np.float32), label, np.arange(len(y)), classes=classes
        )

    def _pairs(self, codes: Array, count: int, random: Random) -> tuple[Rows, Rows]:
        """Draw both rows of each mixed one."""
        return random.randint(len(codes), size=count), random.randint(len(codes), size=count)

    def _first_share(self, count: int, random: Random) -> Array:
        """Draw the first row's share of the pixels."""
        return random.beta(self.alpha, self.alpha, size=count)

    def _label_share(self, kept: Array, codes: Array, first: Rows, second: Rows) -> Array:
        """Give the first row's share of the label."""
        return kept


class BalancedMixup(Mixup):
    """Mixup of a row drawn as rows come with one drawn from a class drawn at random.

    Source: Galdran, Carneiro & González Ballester, "Balanced-MixUp for highly imbalanced medical image
    classification", MICCAI 2021: the class-balanced row's share is drawn from Beta(alpha, 1).

    Parameters
    ----------
    random_state, share
        See `Mixup`.
    alpha : float
        Above 0; the smaller, the rarer a strong share of the class-balanced row.
    """

    def _pairs(self, codes: Array, count: int, random: Random) -> tuple[Rows, Rows]:
        first = random.randint(len(codes), size=count)
        sizes = np.bincount(codes)
        wanted = random.randint(len(sizes), size=count)
        # The place of each wanted class's random row in the list of rows sorted by class.
        starts = np.cumsum(sizes) - sizes
        within = np.floor(random.uniform(size=count) * sizes[wanted]).astype(np.int64)
        return first, np.argsort(codes, kind="stable")[starts[wanted] + within]

    def _first_share(self, count: int, random: Random) -> Array:
        return 1 - random.beta(self.alpha, 1.0, size=count)


class Remix(Mixup):
    """Mixup whose label goes to the rarer class altogether where classes differ much in size.

    Source: Chou, Chang, Pan, Wei & Juan, "Remix: Rebalanced Mixup", ECCV 2020 workshops, equation 6: with
    n rows of a class, λ the first row's share of the pixels, its share of the label is 0 where
    n_first ≥ κ n_second and λ < τ, 1 where n_second ≥ κ n_first and 1 − λ < τ, else λ.

    Parameters
    ----------
    random_state, alpha, share
        See `Mixup`.
    kappa : float
        κ, at least 1.
    tau : float
        τ, 0 … 1.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Mixup._parameter_constraints,
        "kappa": [Interval(numbers.Real, 1, None, closed="left")],
        "tau": [Interval(numbers.Real, 0, 1, closed="both")],
    }

    def __init__(
        self,
        *,
        random_state: Any = None,
        alpha: float = 1.0,
        share: float = 1.0,
        kappa: float = 3.0,
        tau: float = 0.5,
    ) -> None:
        super().__init__(random_state=random_state, alpha=alpha, share=share)
        self.kappa = kappa
        self.tau = tau

    def _label_share(self, kept: Array, codes: Array, first: Rows, second: Rows) -> Array:
        sizes = np.bincount(codes)
        one, two = sizes[codes[first]], sizes[codes[second]]
        to_second = (one >= self.kappa * two) & (kept < self.tau)
        to_first = (two >= self.kappa * one) & (1 - kept < self.tau)
        return np.where(to_second, 0.0, np.where(to_first, 1.0, kept))


class STEM(SMOTEENN):
    """SMOTE-ENN, then Mixup of what is left, synthetic rows included.

    A mixed row is written from its two to four training rows at once (`laws.Mixture`), which are its
    parents. The real and SMOTE's rows stay beside it; all labels of synthetic rows are soft, see `Mixup`.

    Source: Hasan, Amerehi, Healy & Ryan, "STEM Rebalance: A novel approach for tackling imbalanced datasets
    using SMOTE, Edited Nearest Neighbour, and Mixup", ICCP 2023 (arXiv 2311.07504).

    Parameters
    ----------
    sampling_strategy, random_state, k_neighbors, smote, enn, metric, compatible
        See `SMOTEENN`.
    alpha, share
        See `Mixup`; the share is of the rows that SMOTE-ENN leaves.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **SMOTEENN._parameter_constraints,
        "alpha": _POSITIVE,
        "share": _SHARE,
    }

    def __init__(
        self,
        *,
        sampling_strategy: Any = "auto",
        random_state: Any = None,
        k_neighbors: Any = 5,
        smote: Any = None,
        enn: Any = None,
        metric: str = "euclidean",
        compatible: bool = False,
        alpha: float = 0.2,
        share: float = 1.0,
    ) -> None:
        super().__init__(
            sampling_strategy=sampling_strategy,
            random_state=random_state,
            k_neighbors=k_neighbors,
            smote=smote,
            enn=enn,
            metric=metric,
            compatible=compatible,
        )
        self.alpha = alpha
        self.share = share

    def _plan(self, Z: Array, y: Array, groups: Array | None, gram: Gram | None) -> SynthesisPlan:
        plan = super()._plan(Z, y, groups, gram)
        return mixed_again(plan, y, self.alpha, self.share, check_random_state(self.random_state))

    def _order(self, plan: SynthesisPlan, labels: Array) -> Rows | None:
        return None


def mixed_again(plan: SynthesisPlan, y: Array, alpha: float, share: float, random: Random) -> SynthesisPlan:
    """Add Mixup over a plan's own rows, kept and synthetic, to the plan."""
    classes = np.unique(y)
    labels = plan.labels(y)
    if not len(labels):
        return replace(plan, label=np.empty((0, len(classes)), np.float32), classes=classes)
    codes = np.searchsorted(classes, labels)
    count = round(share * len(labels))
    first, second = random.randint(len(labels), size=count), random.randint(len(labels), size=count)
    kept = random.beta(alpha, alpha, size=count)
    # A kept row is a segment of no length.
    base, partner = np.r_[plan.keep, plan.base], np.r_[plan.keep, plan.partner]
    step = np.r_[np.zeros(len(plan.keep), np.float32), plan.step]
    weight = np.r_[np.zeros(len(plan)), 1 - kept].astype(np.float32)
    law = Mixture(
        np.r_[plan.base, base[second]],
        np.r_[plan.partner, partner[second]],
        np.r_[plan.step, step[second]],
        weight,
    )
    alone = np.eye(len(classes), dtype=np.float32)[codes[len(plan.keep) :]]
    return replace(
        plan,
        base=np.r_[plan.base, base[first]],
        partner=np.r_[plan.partner, partner[first]],
        step=np.r_[plan.step, step[first]],
        label=np.r_[alone, mixed_labels(codes[first], codes[second], kept, classes)],
        law=law,
        classes=classes,
    )


def mixed_labels(first: Rows, second: Rows, kept: Array, classes: Array) -> NDArray[np.float32]:
    """Give soft labels, (m, classes): `kept` of the first row's class, the rest of the second's."""
    label = np.zeros((len(first), len(classes)))
    each = np.arange(len(first))
    label[each, first] += kept
    label[each, second] += 1 - kept
    return label.astype(np.float32)
