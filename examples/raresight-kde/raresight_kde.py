"""A kernel density detector, as another package adds it to raresight."""

import math

import numpy as np
import torch

from raresight.detect.base import OneClassDetector, flatten
from raresight.detect.export import Flat
from raresight.detect.network import torch_scores


class KernelDensity(OneClassDetector):
    """Minus the log density of the normal rows, by Gaussian kernels about each of them.

    Source: Parzen, "On estimation of a probability density function and mode", Ann. Math. Stat. 33 (1962).

    Parameters
    ----------
    width : float
        Deviation of the kernel in each standardised feature, above 0.
    """

    sees = "embedding"
    scaled = True

    def __init__(self, width: float = 0.5) -> None:
        self.width = width

    def _learn(self, X, held):
        self.rows_, self.dtype_ = flatten(X).astype(np.float32), X.dtype

    def decision_function(self, X):
        """Score (n, …) rows, higher = rarer among normal ones."""
        return torch_scores(self.scorer(), X)

    def scorer(self):
        """Give the score as a torch module, which becomes the ONNX graph."""
        return _Density(self.rows_, self.width, self.dtype_)

    @staticmethod
    def search_space(trial):
        """Draw options to try."""
        return {"width": trial.suggest_float("width", 0.1, 2.0, log=True)}


class _Density(torch.nn.Module):
    def __init__(self, rows, width, dtype):
        super().__init__()
        self.flat, self.spread = Flat(dtype), 2 * width**2 * rows.shape[1]
        self.register_buffer("rows", torch.from_numpy(rows))

    def forward(self, x):
        near = torch.cdist(self.flat(x), self.rows).square() / self.spread
        return math.log(len(self.rows)) - torch.logsumexp(-near, dim=1)
