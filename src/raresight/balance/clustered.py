"""SMOTE inside clusters."""

from __future__ import annotations

import math
import numbers
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.cluster import MiniBatchKMeans
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from raresight.balance.features import UnusableRowsError
from raresight.balance.interpolation import Interpolator, Pairs, Random, Training, count_of, join
from raresight.balance.neighbours import Gram

Array = NDArray[Any]
Rows = NDArray[np.int64]


class KMeansSMOTE(Interpolator):
    """SMOTE inside those clusters of the whole set that hold enough of a class, more where it is sparse.

    imbalanced-learn rounds each cluster's number up, and so makes more rows than asked for
    (``compatible=True``).

    Source: Last, Douzas & Bacao, "Oversampling for Imbalanced Learning Based on K-Means and SMOTE", 2017,
    arXiv 1711.00837.

    Parameters
    ----------
    sampling_strategy, random_state, k_neighbors, metric, neighbours, distinct, partners, compatible
        See `Interpolator`.
    kmeans_estimator : int or estimator, optional
        The number of clusters, 8 by default, or what finds them.
    cluster_balance_threshold : "auto" or float
        Share of the class that a cluster must have; "auto" is half the class's share of all rows to make.
    density_exponent : "auto" or float
        Of the mean distance within a cluster.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **Interpolator._parameter_constraints,
        "kmeans_estimator": [
            HasMethods(["fit", "predict"]),
            Interval(numbers.Integral, 1, None, closed="left"),
            None,
        ],
        "cluster_balance_threshold": [StrOptions({"auto"}), numbers.Real],
        "density_exponent": [StrOptions({"auto"}), numbers.Real],
    }

    def __init__(
        self,
        *,
        sampling_strategy: Any = "auto",
        random_state: Any = None,
        k_neighbors: Any = 2,
        kmeans_estimator: Any = None,
        cluster_balance_threshold: Any = "auto",
        density_exponent: Any = "auto",
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
        self.kmeans_estimator = kmeans_estimator
        self.cluster_balance_threshold = cluster_balance_threshold
        self.density_exponent = density_exponent

    def _between(self, training: Training, label: Any, count: int, random: Random) -> Pairs:
        members = training.members(label)
        self._check_size(label, members)
        clusters = self._clusters(training, label, count)
        gram = Gram.of(training.Z, rows=members) if training.gram is None else training.gram.take(members)
        weight = np.array([self._sparsity(gram, np.searchsorted(members, rows)) for rows in clusters])
        weight = weight / weight.sum() if weight.sum() else np.full(len(clusters), 1 / len(clusters))
        counts = np.ceil(count * weight).astype(int) if self.compatible else shares(weight, count)
        return join(
            [
                self._draw(rows, self._nearest(training, rows, rows), number, random)
                for rows, number in zip(clusters, counts.tolist(), strict=True)
            ]
        )

    def _clusters(self, training: Training, label: Any, count: int) -> list[Rows]:
        """Give the class's rows in each cluster that has enough of them."""
        finder = self._finder()
        cluster = finder.fit_predict(training.Z.reshape(len(training.Z), -1))
        least = self._least_share(count, finder)
        found = []
        for number in np.unique(cluster):
            rows = np.flatnonzero(cluster == number)
            ours = rows[training.y[rows] == label]
            if len(ours) / len(rows) >= least and len(ours) > count_of(self.k_neighbors):
                found.append(ours)
        if not found:
            raise _NoClustersError(
                f"no cluster has enough rows of class {label}; lower cluster_balance_threshold, for example "
                "--balance kmeans-smote[cluster_balance_threshold=0.1], or change the number of clusters, "
                "kmeans_estimator"
            )
        return found

    def _finder(self) -> Any:
        if isinstance(self.kmeans_estimator, numbers.Integral):
            return MiniBatchKMeans(int(self.kmeans_estimator), random_state=self.random_state)
        if self.kmeans_estimator is None:
            return MiniBatchKMeans(random_state=self.random_state)
        return clone(self.kmeans_estimator)

    def _least_share(self, count: int, finder: Any) -> float:
        if finder.n_clusters == 1:
            return -math.inf
        if self.cluster_balance_threshold == "auto":
            return count / sum(self.sampling_strategy_.values()) / 2
        return float(self.cluster_balance_threshold)

    def _sparsity(self, gram: Gram, rows: Rows) -> float:
        count = len(rows)
        total = float(np.sqrt(gram.distances(rows, rows)).sum(dtype=np.float64))
        exponent = self.density_exponent
        if exponent == "auto":
            exponent = math.log(count, 1.6) ** 1.8 * 0.16
        return float((total / max(1, count * (count - 1))) ** exponent / count)


def shares(weight: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Divide a number by weights that add up to one, exactly: the largest remainders are rounded up."""
    exact = weight * count
    found = np.floor(exact).astype(np.int64)
    rest = count - int(found.sum())
    found[np.argsort(found - exact, kind="stable")[:rest]] += 1
    return found


class _NoClustersError(UnusableRowsError, RuntimeError):
    """A ``RuntimeError`` too, which is what imbalanced-learn raises here."""
