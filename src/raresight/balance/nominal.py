"""SMOTE-NC: rows with nominal columns, and images with a table beside them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from imblearn.utils import check_target_type
from imblearn.utils._validation import _check_X
from numpy.typing import NDArray
from scipy import sparse
from sklearn.utils import check_random_state
from sklearn.utils.validation import validate_data

from raresight.balance.base import check_numbers
from raresight.balance.features import UnusableRowsError
from raresight.balance.interpolation import Interpolator, Pairs, Random, Training, count_of
from raresight.balance.neighbours import Barriers, Gram
from raresight.balance.plan import SynthesisPlan
from raresight.errors import OptionError

Array = NDArray[Any]
Rows = NDArray[np.int64]


class SMOTENC(Interpolator):
    """SMOTE for numbers and nominal values together: numbers are blended, nominal values voted on.

    Two rows that differ in a nominal column are as far apart as the median standard deviation of the class's
    numbers; a synthetic row takes the value that most of its base's neighbours have. The plan names, for
    each nominal column, a row with that value (`donor`), so that a value has a parent too.

    Two ways to use it: ``fit_resample(X, y)`` on a table, as in imbalanced-learn; or, for images with a
    table beside them, ``plan(Z, y, table=table)``, then ``plan.rows(images)``, ``plan.rows(numbers)`` and
    ``plan.nominal(columns)``.

    Source: Chawla et al. 2002 (see `SMOTE`), section 6.1.

    Parameters
    ----------
    categorical_features : "auto", or list of column numbers, names or truth values
        The nominal columns of the table; "auto" takes those of a DataFrame that are of categorical dtype.
    sampling_strategy, random_state, k_neighbors, metric, distinct, partners, compatible
        See `Interpolator`.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **{k: v for k, v in Interpolator._parameter_constraints.items() if k not in ("neighbours", "metric")},
        "categorical_features": ["array-like", str],
    }

    def __init__(
        self,
        categorical_features: Any = "auto",
        *,
        sampling_strategy: Any = "auto",
        random_state: Any = None,
        k_neighbors: int = 5,
        distinct: bool = True,
        partners: str = "any",
        compatible: bool = False,
    ) -> None:
        super().__init__(
            sampling_strategy=sampling_strategy,
            random_state=random_state,
            k_neighbors=k_neighbors,
            distinct=distinct,
            partners=partners,
            compatible=compatible,
        )
        del self.metric, self.neighbours
        self.categorical_features = categorical_features

    def plan(
        self,
        Z: Array,
        y: Array,
        *,
        table: Any = None,
        groups: Array | None = None,
        gram: Gram | None = None,
    ) -> SynthesisPlan:
        """Decide which rows to blend, and whose nominal values they take.

        Parameters
        ----------
        Z : (n, ...) array
            The training rows in the space where neighbours are sought; without `table`, (n, columns), some
            of them nominal.
        y : (n,) array
            Their classes.
        table : (n, columns) array or DataFrame, optional
            What is known beside the image: age, sex, scanner.
        groups, gram
            See `PlanSampler.plan`; the Gram matrix is of Z's rows alone.

        Returns
        -------
        SynthesisPlan
        """
        columns = split_columns(Z if table is None else table, self.categorical_features)
        self.categorical_features_ = columns.at
        if len(columns.codes) != len(y):
            raise OptionError(
                f"the table has {len(columns.codes)} rows, the training set {len(y)}; give one a row"
            )
        check_numbers(columns.numbers)
        self._columns, self._beside = columns, table is not None
        try:
            if table is None:
                return super().plan(columns.numbers, y, groups=groups)
            return super().plan(Z, y, groups=groups, gram=gram)
        finally:
            del self._columns

    def _check_values(self, Z: Any) -> None:
        check_numbers(split_columns(Z, self.categorical_features).numbers)

    def _neighbourhood(self, Z: Array, gram: Gram | None) -> Any:
        # Distances are weighted class by class, so `_between` finds neighbours itself.
        return Gram.of(Z) if gram is None else gram

    def _between(self, training: Training, label: Any, count: int, random: Random) -> Pairs:
        members = training.members(label)
        self._check_size(label, members)
        numbers = training.Z[members].reshape(len(members), -1)
        if self._beside:
            numbers = np.c_[numbers, self._columns.numbers[members]]
        unit = float(np.median(numbers.std(axis=0, dtype=np.float64)))
        near = members[self._near(training, members, unit)]
        pairs = self._draw(members, near, count, random)
        voters = near[np.searchsorted(members, pairs.base)]
        if self.compatible:
            random = check_random_state(self.random_state)
        donors = [self._vote(column, voters, random) for column in self._columns.codes.T]
        return Pairs(pairs.base, pairs.partner, pairs.step, donor=np.stack(donors, axis=1))

    def _near(self, training: Training, members: Rows, unit: float) -> Rows:
        """Find neighbours within the class by numbers and nominal values; places in `members`."""
        gram = Gram.of(training.Z, rows=members) if training.gram is None else training.gram.take(members)
        inner = gram.matrix().astype(np.float64)
        if self._beside:
            added = self._columns.numbers[members] - self._columns.numbers[members].mean(axis=0)
            inner += added @ added.T
        for column in self._columns.codes[members].T:
            # A shared value is worth unit² / 2 in inner products, so that a difference counts unit².
            inner += unit**2 / 2 * (column[:, None] == column[None, :])
        own = np.arange(len(members))
        barriers = self._barriers(training, members)
        within = None if barriers.within is None else barriers.within[members]
        local = Barriers(tuple(entry[members] for entry in barriers.apart), within)
        found = Gram(inner).nearest(own, own, count_of(self.k_neighbors), local)
        # Rows with fewer partners vote, and are drawn, with those they have; rows with none stay themselves.
        first = np.where(found[:, :1] >= 0, found[:, :1], own[:, None])
        return np.where(found >= 0, found, first)

    def _vote(self, column: Array, voters: Rows, random: Random) -> Rows:
        """Give for each synthetic row a voter with the value that most voters have; ties at random."""
        votes = (column[voters][:, :, None] == column[voters][:, None, :]).sum(axis=2)
        chance = random.uniform(size=votes.shape)
        best = (votes + chance * 0.5).argmax(axis=1)
        return np.asarray(voters[np.arange(len(voters)), best])

    def _copies(self, training: Training, rows: Rows) -> Rows | None:
        """Find copies: the same numbers and the same nominal values."""
        copies = super()._copies(training, rows)
        if copies is None:
            return None
        table = self._columns.numbers if self._beside else np.empty((len(copies), 0))
        whole = np.c_[copies, self._columns.codes, table]
        _, same = np.unique(whole, axis=0, return_inverse=True)
        return np.asarray(same).reshape(-1)

    def _check_X_y(  # noqa: N802
        self, X: Any, y: Any, accept_sparse: Any = None
    ) -> tuple[Any, Array, bool]:
        y, binarize = check_target_type(y, indicate_one_vs_all=True)
        X = _check_X(X)
        validate_data(self, X=X, y=y, reset=True, skip_check_array=True)
        return X, np.asarray(y), binarize

    def _fit_resample(self, X: Any, y: Array, **params: Any) -> tuple[Any, Array]:
        plan = self.plan(X, y, **params)
        columns = split_columns(X, self.categorical_features)
        nominal = np.concatenate([columns.nominal[plan.keep], plan.nominal(columns.nominal)])
        numbers = plan.balanced(columns.numbers)
        kind = np.result_type(numbers, nominal) if nominal.dtype.kind in "fiub" else object
        whole = np.empty((len(numbers), numbers.shape[1] + nominal.shape[1]), kind)
        is_nominal = np.isin(np.arange(whole.shape[1]), columns.at)
        whole[:, is_nominal], whole[:, ~is_nominal] = nominal, numbers
        return whole, plan.labels(y)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = False
        tags.input_tags.string = True
        return tags


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """A table's columns, apart.

    Attributes
    ----------
    at : (c,) int64 array
        Which are nominal.
    nominal : (n, c) array
    codes : (n, c) int64 array
        The same, numbered.
    numbers : (n, p) float array
    """

    at: Rows
    nominal: Array
    codes: Rows
    numbers: Array


def split_columns(table: Any, which: Any) -> Columns:
    """Part nominal columns from numbers.

    Parameters
    ----------
    table : (n, columns) array or DataFrame
    which : "auto", or list of column numbers, names or truth values

    Raises
    ------
    OptionError
        If the columns aren't there, or are all of one sort.
    DataError
        If what is left isn't numeric.
    """
    if sparse.issparse(table):
        raise TypeError("sparse data was passed, and SMOTE-NC needs dense data; use toarray()")
    frame = table if isinstance(table, pd.DataFrame) else pd.DataFrame(np.asarray(table))
    at = _nominal_columns(frame, isinstance(table, pd.DataFrame), which)
    rest = np.setdiff1d(np.arange(frame.shape[1]), at)
    if not len(at) or not len(rest):
        sort = "nominal" if not len(rest) else "numeric"
        raise OptionError(
            f"SMOTE-NC is for columns of both sorts, and all are {sort} (n_features={frame.shape[1]}); "
            "name the nominal ones"
        )
    try:
        numbers = frame.iloc[:, rest].to_numpy()
        numbers = numbers.astype(np.float64) if numbers.dtype.kind not in "fiub" else numbers
    except (ValueError, TypeError) as error:
        raise UnusableRowsError(
            "a column that isn't named nominal doesn't hold numbers; add it to categorical_features"
        ) from error
    nominal = frame.iloc[:, at].to_numpy()
    codes = np.stack([pd.factorize(column, use_na_sentinel=False)[0] for column in nominal.T], axis=1)
    return Columns(at, nominal, codes.astype(np.int64), numbers)


def _nominal_columns(frame: pd.DataFrame, named: bool, which: Any) -> Rows:
    if isinstance(which, str):
        if which != "auto" or not named:
            raise OptionError(
                "categorical_features='auto' needs a DataFrame; list the nominal columns instead"
            )
        return np.flatnonzero([isinstance(kind, pd.CategoricalDtype) for kind in frame.dtypes])
    wanted = np.asarray(which)
    if wanted.dtype.kind == "b" and len(wanted) == frame.shape[1]:
        return np.flatnonzero(wanted)
    names = list(frame.columns) if wanted.dtype.kind in "UO" else list(range(frame.shape[1]))
    missing = [column for column in wanted.tolist() if column not in names]
    if missing:
        raise OptionError(f"the table has no column {missing[0]!r}; it has: {', '.join(map(str, names))}")
    return np.array(sorted(names.index(column) for column in wanted.tolist()), np.int64)
