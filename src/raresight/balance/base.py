"""What every sampler is: validates in public, decides in `_decide`, and answers with a plan."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from imblearn.base import BaseSampler
from imblearn.over_sampling.base import BaseOverSampler
from imblearn.under_sampling.base import BaseCleaningSampler, BaseUnderSampler
from imblearn.utils import check_sampling_strategy, check_target_type
from imblearn.utils._validation import _check_X
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import check_consistent_length
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import validate_data

from raresight.balance.features import UnusableRowsError, width
from raresight.balance.neighbours import Gram, pieces
from raresight.balance.plan import SynthesisPlan
from raresight.errors import OptionError

Array = NDArray[Any]
Rows = NDArray[np.int64]

OVER: dict[str, Any] = BaseOverSampler._parameter_constraints
UNDER: dict[str, Any] = BaseUnderSampler._parameter_constraints
CLEAN: dict[str, Any] = BaseCleaningSampler._parameter_constraints
SEEDED: dict[str, Any] = {"random_state": ["random_state"]}


class PlanSampler(BaseSampler):  # type: ignore[misc]
    """Base of the samplers: imbalanced-learn's protocol, and a plan behind it.

    Subclasses store their options in ``__init__``, say which classes they work on in ``_sampling_type``
    and decide in ``_decide``.
    """

    distances = False
    """Whether distances between all rows are needed: then a Gram matrix shared by folds is worth making."""

    _sampling_type = "over-sampling"
    _parameter_constraints: ClassVar[dict[str, Any]] = {**OVER, **SEEDED}

    def __init__(self, *, sampling_strategy: Any = "auto", random_state: Any = None) -> None:
        self.sampling_strategy = sampling_strategy
        self.random_state = random_state

    def plan(
        self, Z: Array, y: Array, *, groups: Array | None = None, gram: Gram | None = None
    ) -> SynthesisPlan:
        """Decide which rows to keep and which to blend.

        Parameters
        ----------
        Z : (n, ...) array
            The training rows in the space where neighbours are sought.
        y : (n,) array
            Their classes.
        groups : (n,) array, optional
            Their groups, for ``partners`` and for the plan's provenance.
        gram : Gram, optional
            Of Z's rows, if it is known already.

        Returns
        -------
        SynthesisPlan

        Raises
        ------
        DataError
            If a row that is compared holds NaN or infinity, or a class is too small for the options.
        OptionError
            If an option is out of its range.
        """
        try:
            self._validate_params()
        except InvalidParameterError as error:
            raise OptionError(str(error)) from error
        Z = Z if hasattr(Z, "dtype") and hasattr(Z, "shape") else np.asarray(Z)
        y = np.asarray(check_target_type(np.asarray(y)))
        check_classification_targets(y)
        check_consistent_length(Z, y)
        self._check_kind(Z)
        self.sampling_strategy_ = self._strategy(y)
        if groups is not None:
            groups = np.asarray(groups)
            check_consistent_length(groups, y)
        if gram is not None and len(gram) != len(y):
            raise OptionError(
                f"the Gram matrix is of {len(gram)} rows, the training set has {len(y)}; slice it"
            )
        return self._plan(Z, y, groups, gram)

    def _strategy(self, y: Array) -> dict[Any, int]:
        found: dict[Any, int] = check_sampling_strategy(self.sampling_strategy, y, self._sampling_type)
        return found

    def _check_kind(self, Z: Array) -> None:
        # Not the values: the rows that matter are looked at where their distances are computed.
        check_kind(Z)

    def _check_values(self, Z: Array) -> None:
        check_numbers(Z)

    def _plan(self, Z: Array, y: Array, groups: Array | None, gram: Gram | None) -> SynthesisPlan:
        """Decide, with the groups at hand; samplers that don't heed them only override `_decide`."""
        plan = self._decide(Z, y, gram)
        return plan if groups is None else replace(plan, groups=groups)

    def _decide(self, Z: Array, y: Array, gram: Gram | None) -> SynthesisPlan:
        """Decide which rows to keep and which to blend."""
        raise NotImplementedError

    def fit(self, X: Any, y: Any, **params: Any) -> PlanSampler:
        """Check a set and the options; `fit_resample` does the same, and balances it.

        Parameters
        ----------
        X, y
            See `fit_resample`.
        """
        self._validate_params()
        check_classification_targets(y)
        X, y, _ = self._check_X_y(X, y)
        self._check_values(X)
        self.sampling_strategy_ = self._strategy(y)
        return self

    def fit_resample(self, X: Any, y: Any, **params: Any) -> tuple[Any, Any]:
        """Balance a set.

        Parameters
        ----------
        X : (n, ...) array, list, DataFrame or sparse matrix
            A sparse matrix is made dense inside.
        y : (n,) array, list, Series
            Classes, or one column a class.

        Returns
        -------
        X_resampled : (k + m, ...)
            The rows kept, then the synthetic ones, of X's type and dtype.
        y_resampled : (k + m,)
            Hard labels: of a soft one the class with the largest share.
        """
        resampled: tuple[Any, Any] = super().fit_resample(X, y, **params)
        return resampled

    def _check_X_y(  # noqa: N802
        self, X: Any, y: Any, accept_sparse: Any = None
    ) -> tuple[Array, Array, bool]:
        y, binarize = check_target_type(y, indicate_one_vs_all=True)
        X, y = validate_data(
            self, X=X, y=y, reset=True, accept_sparse=["csr", "csc"], allow_nd=True, ensure_all_finite=False
        )
        self._format = X.format if sparse.issparse(X) else None
        return (X.toarray() if self._format else X), y, binarize

    def _fit_resample(self, X: Array, y: Array, **params: Any) -> tuple[Any, Array]:
        self._check_values(X)
        plan = self.plan(X, y, **params)
        rows, labels = plan.balanced(X), plan.hard_labels(y)
        order = self._order(plan, labels)
        if order is not None:
            rows, labels = rows[order], labels[order]
        return (sparse.csr_array(rows).asformat(self._format) if self._format else rows), labels

    def _order(self, plan: SynthesisPlan, labels: Array) -> Rows | None:
        """Give the order of `fit_resample`'s rows where it isn't the plan's."""
        return None


class SelectingSampler(PlanSampler):
    """Base of the samplers that only choose rows: any kind of value is left as it is."""

    def _check_kind(self, Z: Array) -> None:
        return

    def _check_values(self, Z: Array) -> None:
        return

    def _check_X_y(  # noqa: N802
        self, X: Any, y: Any, accept_sparse: Any = None
    ) -> tuple[Any, Array, bool]:
        y, binarize = check_target_type(y, indicate_one_vs_all=True)
        X = _check_X(X) if np.ndim(X) <= 2 else np.asarray(X)
        validate_data(self, X=X, y=y, reset=True, skip_check_array=True)
        return X, np.asarray(y), binarize

    def _fit_resample(self, X: Any, y: Array, **params: Any) -> tuple[Any, Array]:
        plan = self.plan(np.empty((X.shape[0], 0)), y, **params)
        self.sample_indices_ = np.r_[plan.keep, plan.base]
        chosen = X.iloc[self.sample_indices_] if hasattr(X, "iloc") else X[self.sample_indices_]
        return chosen, y[self.sample_indices_]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = tags.input_tags.string = True
        tags.sampler_tags.sample_indices = True
        return tags


def check_numbers(Z: Array) -> None:
    """Refuse what no distance can be computed of.

    Raises
    ------
    DataError
        If Z isn't numeric, or a row holds NaN or infinity.
    """
    check_kind(Z)
    if Z.dtype.kind != "f":
        return
    for piece in pieces(len(Z), width(Z)):
        with np.errstate(over="ignore", invalid="ignore"):
            finite = np.isfinite(np.sum(Z[piece], dtype=None if Z.dtype.itemsize > 2 else np.float32))
        if finite:
            continue
        good = np.isfinite(Z[piece].reshape(piece.stop - piece.start, -1)).all(axis=1)
        if not good.all():
            row = piece.start + int(np.flatnonzero(~good)[0])
            raise UnusableRowsError(
                f"row {row} holds NaN or infinity; remove it or fill it in before balancing"
            )


def check_kind(Z: Array) -> None:
    """Refuse what isn't numeric, or is empty.

    Raises
    ------
    DataError
        If Z's dtype isn't one of real numbers, or its rows have no features.
    """
    if Z.dtype.kind not in "fiub":
        raise UnusableRowsError(f"rows of dtype {Z.dtype} can't be blended; give one array of real numbers")
    if not width(Z):
        raise UnusableRowsError("the rows have no features to compare; give at least one")
