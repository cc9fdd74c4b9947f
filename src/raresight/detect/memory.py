"""One-class detectors that keep normal rows, or their distribution, in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf_shrinkage
from torch import Tensor, nn

from raresight.detect.base import OneClassDetector, flatten
from raresight.detect.export import Flat
from raresight.detect.network import torch_scores
from raresight.errors import OptionError

Array = NDArray[Any]


class NearestNeighbours(OneClassDetector):
    """Mean distance to the k nearest normal training rows.

    Source: Ramaswamy, Rastogi & Shim, "Efficient algorithms for mining outliers from large data sets", SIGMOD
    2000; on pretrained features Bergman, Cohen & Hoshen, "Deep nearest neighbor anomaly detection",
    arXiv 2002.10445 (2020), whose k is 2.

    Parameters
    ----------
    n_neighbors : int
    """

    scaled = True

    def __init__(self, n_neighbors: int = 2) -> None:
        self.n_neighbors = n_neighbors

    def _learn(self, X: Array, held: Array | None) -> None:
        if self.n_neighbors < 1:
            raise OptionError(f"knn[n_neighbors={self.n_neighbors}] is too small; choose at least 1")
        self.rows_ = flatten(X).astype(np.float32)
        self.dtype_ = X.dtype

    def decision_function(self, X: Array) -> NDArray[np.float64]:
        """Score (n, …) rows from 0 on."""
        return torch_scores(self.scorer(), X, size=1024)

    def scorer(self) -> nn.Module:
        """Give the distances as a torch module."""
        return _Distances(self.rows_, min(self.n_neighbors, len(self.rows_)), self.dtype_)

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Options that tuning tries."""
        return {"n_neighbors": trial.suggest_int("n_neighbors", 1, 20, log=True)}


class _Distances(nn.Module):
    rows: Tensor
    centre: Tensor
    norms: Tensor

    def __init__(self, rows: Array, k: int, dtype: Any) -> None:
        super().__init__()
        self.flat = Flat(dtype)
        centre = rows.mean(axis=0)
        apart = rows - centre
        for name, values in (("centre", centre), ("rows", apart), ("norms", (apart**2).sum(axis=1))):
            self.register_buffer(name, torch.from_numpy(np.asarray(values, np.float32)))
        self.k = k

    def forward(self, x: Tensor) -> Tensor:
        apart = self.flat(x) - self.centre
        squared = apart.square().sum(dim=1, keepdim=True) + self.norms - 2 * apart @ self.rows.T
        nearest = torch.topk(squared, self.k, dim=1, largest=False).indices
        # Once more without the cancellation, of which a square root makes much where rows nearly meet.
        found: Tensor = torch.linalg.vector_norm(apart.unsqueeze(1) - self.rows[nearest], dim=2).mean(dim=1)
        return found


class Mahalanobis(OneClassDetector):
    """Mahalanobis distance to the normal training rows, their covariance shrunk by Ledoit & Wolf's rule.

    Source: Rippel, Mertens & Merhof, "Modeling the distribution of normal data in pre-trained deep features
    for anomaly detection", ICPR 2020 (2021), who sum such distances over the levels of a network; here it is
    one distance in what the detector is given, and small lesions drown in pooled features: on
    ``phantom:brain`` of difficulty .5 (n=600, anomalies=0.1, 3 folds) AUROC was .587. Ledoit & Wolf,
    "A well-conditioned estimator for large-dimensional covariance matrices", Journal of Multivariate Analysis
    88 (2004).

    Parameters
    ----------
    variance : float
        Share of the variance whose principal components are kept, above 0 and at most 1. Below 1 the
        directions in which normal rows hardly vary are left out; it is often there that anomalies show.
    """

    scaled = True

    def __init__(self, variance: float = 1.0) -> None:
        self.variance = variance

    def _learn(self, X: Array, held: Array | None) -> None:
        if not 0 < self.variance <= 1:
            raise OptionError(
                f"mahalanobis[variance={self.variance}] is no share; choose above 0 and at most 1"
            )
        rows = flatten(X).astype(np.float64)
        self.centre_ = rows.mean(axis=0)
        rows -= self.centre_
        share = float(ledoit_wolf_shrinkage(rows, assume_centered=True))
        size, axes = principal_axes(rows)
        kept = int(np.searchsorted(np.cumsum(size) / size.sum(), self.variance * (1 - 1e-9))) + 1
        sphere = share * float((rows**2).mean()) + 1e-12
        shrunk = (1 - share) * size[:kept] + sphere
        self.whitening_ = axes[:, :kept] / np.sqrt(shrunk)
        self.axes_ = axes[:, :kept]
        # What lies off the axes: all of the shrunk covariance there is the sphere; below 1 it is left out.
        self.beyond_ = 1 / sphere if self.variance == 1 and kept < rows.shape[1] else 0.0
        self.dtype_ = X.dtype

    def decision_function(self, X: Array) -> NDArray[np.float64]:
        """Score (n, …) rows from 0 on."""
        return torch_scores(self.scorer(), X, size=1024)

    def scorer(self) -> nn.Module:
        """Give the distance as a torch module."""
        return _Whitened(self.centre_, self.whitening_, self.axes_, self.beyond_, self.dtype_)

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Options that tuning tries."""
        return {"variance": trial.suggest_categorical("variance", [0.9, 0.95, 0.99, 0.999, 1.0])}


def principal_axes(rows: Array) -> tuple[Array, Array]:
    """Give variances (m,), largest first, and axes (features, m) of centred rows (n, features).

    m is the lesser of n − 1 and features: the matrix taken apart is of the lesser side, so that long rows
    take no more memory than a few.
    """
    n, features = rows.shape
    if n > features:
        size, axes = np.linalg.eigh(rows.T @ rows / n)
        return size[::-1].clip(0), axes[:, ::-1]
    size, mixed = np.linalg.eigh(rows @ rows.T / n)
    kept = size > size[-1] * 1e-10
    size, mixed = size[kept][::-1], mixed[:, kept][:, ::-1]
    return size, rows.T @ (mixed / np.sqrt(size * n))


class _Whitened(nn.Module):
    centre: Tensor
    whitening: Tensor
    axes: Tensor

    def __init__(self, centre: Array, whitening: Array, axes: Array, beyond: float, dtype: Any) -> None:
        super().__init__()
        self.flat, self.beyond = Flat(dtype), beyond
        for name, values in (("centre", centre), ("whitening", whitening), ("axes", axes)):
            self.register_buffer(name, torch.from_numpy(np.asarray(values, np.float32)))

    def forward(self, x: Tensor) -> Tensor:
        apart = self.flat(x) - self.centre
        squared = (apart @ self.whitening).square().sum(dim=1)
        if self.beyond:
            off = apart - (apart @ self.axes) @ self.axes.T
            squared = squared + off.square().sum(dim=1) * self.beyond
        found: Tensor = squared.sqrt()
        return found
