"""What every detector offers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator

from raresight.errors import DataError

Array = NDArray[Any]


class Detector(BaseEstimator):  # type: ignore[misc]
    """Base of all detectors: scikit-learn's protocol, and what a recipe must know of one.

    Attributes
    ----------
    sees : str
        The representation taken when none is named; may depend on the settings.
    takes : tuple of str or None
        Names of the only representations that it can take; None: any that gives rows of features.
    scaled : bool
        Whether rows are standardised first, by the mean and deviation of the real training rows.
    network : bool
        Whether one inner split takes the place of inner folds: `fit` then takes ``validation=(X, y)``.
    logits : bool
        Whether the score is the log odds of an anomaly.
    stochastic : bool
        Whether training again with another seed gives another detector.
    grouped : bool
        Whether `fit` heeds groups: it has inner folds of its own.
    one_class : bool
        Whether it learns from normal rows only.
    needs_anomalies : bool
        Whether it can't learn without an anomaly among its training rows.
    masks : bool
        Whether it learns from lesions' masks: `fit` then takes ``masks=(n, h, w)`` uint8, 0 and 255, of the
        height and width that it sees, and ``validation=(X, y, masks)``.
    multiclass : bool
        Whether it takes more than two classes; then `decision_function` gives (n, classes).
    default_threshold : float or None
        The score from which an image is called anomalous when no rule was learned. None: the scores have no
        natural threshold, and the 95 % quantile of normal rows' out-of-fold scores is taken.
    """

    sees: str = "embedding"
    takes: tuple[str, ...] | None = None
    scaled = False
    network = False
    logits = False
    stochastic = False
    grouped = False
    one_class = False
    needs_anomalies = True
    masks = False
    multiclass = False
    default_threshold: float | None = 0.0

    def fit(
        self,
        X: Any,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn from (n, …) rows and their classes, 0 = normal, 1 = anomalous."""
        raise NotImplementedError

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Score (n, …) rows, higher = more anomalous."""
        raise NotImplementedError

    def export_onnx(self, path: Path, example: Array) -> None:
        """Write the scoring path, from what the detector sees to the score, as an ONNX graph.

        Its input ``x`` is (n, …) of the example's dtype (float64 becomes float32), its output ``score`` (n,)
        float32, n being free.

        Parameters
        ----------
        path : Path
        example : (2 or more, …) array
            Rows as the detector sees them.
        """
        from raresight.detect.export import export_module

        export_module(self.scorer(), path, example)

    def scorer(self) -> Any:
        """Give a ``torch.nn.Module`` from (n, …) rows, as the detector sees them, to (n,) scores."""
        raise NotImplementedError

    def mapper(self) -> Any:
        """Give a ``torch.nn.Module`` from (n, …) rows to (n, h, w), higher = more anomalous there.

        None where the detector does not tell places apart by itself.
        """
        return None

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Draw the options that tuning tries from an ``optuna.Trial``."""
        return {}


class OneClassDetector(Detector):
    """Base of detectors that learn what is normal; anomalies among the training rows are left aside.

    A subclass answers `_learn` with what it makes of the normal rows.
    """

    one_class = True
    needs_anomalies = False
    default_threshold = None

    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        validation: tuple[Any, ArrayLike] | None = None,
    ) -> Self:
        """Learn from the normal rows.

        Parameters
        ----------
        X : (n, …) array
        y : (n,) int array, optional
            0 = normal, 1 = anomalous; without it all rows are taken to be normal.
        groups, sample_weight
            Not looked at.
        validation : (X, y), optional
            Rows that say when to stop, for detectors trained in epochs; of these too only the normal ones.

        Raises
        ------
        DataError
            If fewer than two rows are normal.
        """
        held = None if validation is None else normal_rows(*validation)
        self._learn(normal_rows(X, y), held)
        return self

    def _learn(self, X: Any, held: Any | None) -> None:
        """Learn from normal rows; `held`, where given, are others to stop by."""
        raise NotImplementedError


def normal_rows(X: Any, y: ArrayLike | None) -> Any:
    """Give the rows of class 0; an array that makes rows when it is read still does so.

    Raises
    ------
    DataError
        If fewer than two rows are normal, or rows and labels differ in number.
    """
    if y is None:
        return X
    label = np.asarray(y)
    if len(label) != len(X):
        raise DataError(f"there are {len(X)} rows but {len(label)} labels; give one a row")
    rows = np.flatnonzero(label == 0)
    if len(rows) < 2:
        raise DataError(
            f"a one-class detector learns from normal images and {len(rows)} of these {len(label)} are normal"
        )
    if len(rows) == len(label):
        return X
    if isinstance(X, np.ndarray):
        return X[rows]
    from raresight.networks.rows import Subset

    return Subset(X, rows)


def flatten(X: Array) -> Array:
    """Give (n, features) floats of any (n, …) array; integers are scaled to 0 … 1."""
    flat = X.reshape(len(X), -1)
    if flat.dtype.kind in "ui":
        return flat.astype(np.float32) / np.float32(np.iinfo(flat.dtype).max)
    return flat
