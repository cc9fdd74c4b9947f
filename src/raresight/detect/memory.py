"""One-class detectors that keep normal rows, or their distribution, in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import LedoitWolf
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
        nearest = torch.topk(squared.clamp_min(0), self.k, dim=1, largest=False).values
        return nearest.sqrt().mean(dim=1)


class Mahalanobis(OneClassDetector):
    """Mahalanobis distance to the normal training rows, their covariance shrunk by Ledoit & Wolf's rule.

    Source: Rippel, Mertens & Merhof, "Modeling the distribution of normal data in pre-trained deep features
    for anomaly detection", ICPR 2020 (2021), who sum such distances over the levels of a network; here it is
    one distance in what the detector is given. Ledoit & Wolf, "A well-conditioned estimator for
    large-dimensional covariance matrices", Journal of Multivariate Analysis 88 (2004).

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
        estimate = LedoitWolf().fit(rows)
        size, axes = np.linalg.eigh(estimate.covariance_)
        size, axes = size[::-1].clip(1e-12), axes[:, ::-1]
        kept = int(np.searchsorted(np.cumsum(size) / size.sum(), self.variance * (1 - 1e-9))) + 1
        self.centre_ = estimate.location_
        self.whitening_ = axes[:, :kept] / np.sqrt(size[:kept])
        self.dtype_ = X.dtype

    def decision_function(self, X: Array) -> NDArray[np.float64]:
        """Score (n, …) rows from 0 on."""
        return torch_scores(self.scorer(), X, size=1024)

    def scorer(self) -> nn.Module:
        """Give the distance as a torch module."""
        return _Whitened(self.centre_, self.whitening_, self.dtype_)

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Options that tuning tries."""
        return {"variance": trial.suggest_categorical("variance", [0.9, 0.95, 0.99, 0.999, 1.0])}


class _Whitened(nn.Module):
    centre: Tensor
    whitening: Tensor

    def __init__(self, centre: Array, whitening: Array, dtype: Any) -> None:
        super().__init__()
        self.flat = Flat(dtype)
        self.register_buffer("centre", torch.from_numpy(np.asarray(centre, np.float32)))
        self.register_buffer("whitening", torch.from_numpy(np.asarray(whitening, np.float32)))

    def forward(self, x: Tensor) -> Tensor:
        white = (self.flat(x) - self.centre) @ self.whitening
        found: Tensor = torch.linalg.vector_norm(white, dim=1)
        return found
