"""Deep semi-supervised anomaly detection: normal rows near a centre, labelled anomalies far from it."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from raresight.detect.base import Detector, flatten
from raresight.detect.export import Flat
from raresight.detect.network import torch_scores
from raresight.errors import DataError, OptionError
from raresight.networks.training import find_device, local_seed

Array = NDArray[Any]

LEAST = 1e-6
"""Added to a distance before it is inverted."""

NEAR = 0.1
"""A centre's coordinate nearer to 0 is moved so far off, so that zero weights are no answer."""


class DeepSAD(Detector):
    """A small head on a representation that maps normal rows to a centre and labelled anomalies away from it.

    The head has no bias terms, and the centre is the mean of the normal rows' first outputs; both keep it
    from mapping everything to one point. Normal rows cost their squared distance from the centre, anomalies
    its inverse (eta = 1). With no anomaly among the training rows it is Deep SVDD. The score is the distance.
    Here it stands on a frozen network's features, where the paper trains a convolutional network on pixels;
    so the paper's pretraining as an autoencoder is an option, and off: with it the AUROC on ``phantom:brain``
    of difficulty .5 (n=600, anomalies=0.3, 3 folds) was .686, without .727, chosen on these folds.

    Source: Ruff et al., "Deep semi-supervised anomaly detection", ICLR 2020; Ruff et al., "Deep one-class
    classification", ICML 2018.

    Parameters
    ----------
    width, depth : int
        Of the hidden layer, and of the space that holds the centre.
    eta : float
        Weight of an anomaly's loss, from 0 on.
    pretrain, epochs : int
        Of the autoencoder, and of the head.
    batch_size : int
    learning_rate, weight_decay : float
        Adam's.
    device : {"auto", "cpu", "cuda"}
    random_state : int
    """

    scaled = True
    stochastic = True
    needs_anomalies = False
    default_threshold = None

    def __init__(
        self,
        width: int = 128,
        depth: int = 32,
        eta: float = 1.0,
        pretrain: int = 0,
        epochs: int = 50,
        batch_size: int = 64,
        learning_rate: float = 1e-3,
        weight_decay: float = 1e-4,
        device: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.width, self.depth, self.eta = width, depth, eta
        self.pretrain, self.epochs, self.batch_size = pretrain, epochs, batch_size
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.device, self.random_state = device, random_state

    def fit(
        self,
        X: Any,
        y: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Learn from (n, …) rows.

        Parameters
        ----------
        X : (n, …) array
        y : (n,) int array, optional
            0 = normal, 1 = anomalous; without it all rows are taken to be normal.
        groups
            Not looked at.
        sample_weight : (n,) array, optional
            Multiplies each row's loss.

        Raises
        ------
        DataError
            If rows and labels differ in number, or fewer than two rows are normal.
        OptionError
            If a setting cannot be used.
        """
        self._check()
        rows = torch.from_numpy(flatten(X).astype(np.float32))
        anomalous = torch.zeros(len(X)) if y is None else torch.from_numpy(np.asarray(y) == 1).float()
        if len(anomalous) != len(rows):
            raise DataError(f"there are {len(rows)} rows but {len(anomalous)} labels; give one a row")
        if (anomalous == 0).sum() < 2:
            raise DataError("deep-sad learns from normal images too and fewer than two of these are normal")
        weight = torch.ones(len(rows))
        if sample_weight is not None:
            weight = torch.from_numpy(np.asarray(sample_weight, np.float32))
        self.dtype_ = X.dtype
        device = find_device(self.device)
        with local_seed(self.random_state, device):
            self.head_, self.centre_ = self._train(*(each.to(device) for each in (rows, anomalous, weight)))
        return self

    def _check(self) -> None:
        for name in ("width", "depth", "batch_size"):
            if getattr(self, name) < 1:
                raise OptionError(f"deep-sad[{name}={getattr(self, name)}] is too small; choose at least 1")
        if self.eta < 0 or self.epochs < 0 or self.pretrain < 0:
            raise OptionError("deep-sad takes eta, epochs and pretrain from 0 on")

    def _train(self, rows: Tensor, anomalous: Tensor, weight: Tensor) -> tuple[nn.Module, Tensor]:
        features = rows.shape[1]
        head = _layers(features, self.width, self.depth).to(rows.device)
        decoder = _layers(self.depth, self.width, features).to(rows.device)
        whole = nn.Sequential(head, decoder)

        def rebuilt(batch: Tensor) -> Tensor:
            error: Tensor = (whole(rows[batch]) - rows[batch]).square().mean(dim=1)
            return error * weight[batch]

        self._descend(whole, rebuilt, len(rows), self.pretrain)
        with torch.no_grad():
            centre = head(rows[anomalous == 0]).mean(dim=0)
            centre = torch.where(centre.abs() < NEAR, torch.copysign(torch.tensor(NEAR), centre), centre)

        def drawn(batch: Tensor) -> Tensor:
            squared = (head(rows[batch]) - centre).square().sum(dim=1)
            apart = self.eta / (squared + LEAST)
            return torch.where(anomalous[batch] == 1, apart, squared) * weight[batch]

        self._descend(head, drawn, len(rows), self.epochs)
        return head.eval().cpu(), centre.cpu()

    def _descend(self, module: nn.Module, loss: Any, n: int, epochs: int) -> None:
        """Minimise a loss (batch → (m,)) over `n` rows."""
        optimiser = torch.optim.Adam(module.parameters(), self.learning_rate, weight_decay=self.weight_decay)
        for _ in range(epochs):
            for batch in torch.split(torch.randperm(n), self.batch_size):
                optimiser.zero_grad()
                loss(batch).mean().backward()
                optimiser.step()

    def decision_function(self, X: Array) -> NDArray[np.float64]:
        """Score (n, …) rows from 0 on, higher = more anomalous."""
        return torch_scores(self.scorer(), X, size=1024)

    def scorer(self) -> nn.Module:
        """Give the distance from the centre as a torch module."""
        return _FromCentre(self.head_, self.centre_, self.dtype_)

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Options that tuning tries."""
        return {
            "eta": trial.suggest_float("eta", 0.1, 10.0, log=True),
            "learning_rate": trial.suggest_float("learning_rate", 1e-4, 1e-2, log=True),
            "depth": trial.suggest_categorical("depth", [16, 32, 64]),
        }


def _layers(entry: int, width: int, exit: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(entry, width, bias=False), nn.LeakyReLU(0.1), nn.Linear(width, exit, bias=False)
    )


class _FromCentre(nn.Module):
    centre: Tensor

    def __init__(self, head: nn.Module, centre: Tensor, dtype: Any) -> None:
        super().__init__()
        self.flat, self.head = Flat(dtype), head
        self.register_buffer("centre", centre)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = torch.linalg.vector_norm(self.head(self.flat(x)) - self.centre, dim=1)
        return found
