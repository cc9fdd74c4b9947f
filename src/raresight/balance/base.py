"""What every sampler is: validates in public, decides in `_decide`, and answers with a plan."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
from imblearn.base import SamplerMixin
from imblearn.utils import check_sampling_strategy
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_array

from raresight.balance.neighbours import Gram
from raresight.balance.plan import SynthesisPlan
from raresight.errors import DataError

Array = NDArray[Any]


class PlanSampler(SamplerMixin, BaseEstimator):  # type: ignore[misc]
    """Base of the samplers: imbalanced-learn's protocol, and a plan behind it.

    Subclasses store their options in ``__init__``, say which classes they work on in ``_sampling_type``
    and decide in ``_decide``.
    """

    _sampling_type = "over-sampling"

    def __init__(self, *, sampling_strategy: Any = "auto", random_state: Any = None) -> None:
        self.sampling_strategy = sampling_strategy
        self.random_state = random_state

    def plan(self, Z: Array, y: Array, *, gram: Gram | None = None) -> SynthesisPlan:
        """Decide which rows to keep and which to blend.

        Parameters
        ----------
        Z : (n, ...) array
            The training rows in the space where neighbours are sought.
        y : (n,) array
            Their classes.
        gram : Gram, optional
            Of Z's rows, if it is known already.

        Returns
        -------
        SynthesisPlan

        Raises
        ------
        DataError
            If Z holds NaN or infinity, or a class is too small for the options.
        """
        y = np.asarray(y)
        if Z.dtype.kind == "f" and not np.isfinite(Z).all():
            row = int(np.flatnonzero(~np.isfinite(Z.reshape(len(Z), -1)).all(axis=1))[0])
            raise DataError(f"row {row} holds NaN or infinity; remove it or fill it in before balancing")
        self.sampling_strategy_ = check_sampling_strategy(self.sampling_strategy, y, self._sampling_type)
        return self._decide(Z, y, gram)

    def fit_resample(self, X: Any, y: Any, **params: Any) -> tuple[Array, Array]:
        """Balance a set.

        Parameters
        ----------
        X : (n, ...) array
        y : (n,) array

        Returns
        -------
        X_resampled : (k + m, ...) array
            The rows kept, then the synthetic ones, of X's dtype.
        y_resampled : (k + m,) array
        """
        X = check_array(X, allow_nd=True, dtype=None, ensure_all_finite=False)
        return self._fit_resample(X, np.asarray(y))

    def _fit_resample(self, X: Array, y: Array, **params: Any) -> tuple[Array, Array]:
        plan = self.plan(X, y)
        return plan.balanced(X), plan.labels(y)

    @abstractmethod
    def _decide(self, Z: Array, y: Array, gram: Gram | None) -> SynthesisPlan: ...
