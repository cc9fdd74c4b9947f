"""One-class detectors that keep normal rows, or their distribution, in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from raresight.detect.base import OneClassDetector, flatten
from raresight.detect.export import Flat
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
        with torch.inference_mode():
            return self.scorer()(torch.from_numpy(np.ascontiguousarray(X))).double().numpy()  # type: ignore[no-any-return]

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
