"""Rivals of sampling that make no rows: costs of a mistake, and the place where a score is cut.

Each keeps every training row. What it asks of a detector is one of four things: a weight for each row
(`sample_weight`), a loss (`loss`), a shift of the logits (`logit_shift`), or a threshold rule (`rule`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from raresight.balance.base import PlanSampler
from raresight.balance.neighbours import Gram
from raresight.balance.plan import SynthesisPlan, no_synthesis
from raresight.errors import OptionError

if TYPE_CHECKING:
    import torch

Array = NDArray[Any]
Loss = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]


class Cost(PlanSampler):
    """Base of the costs: the plan keeps every row and makes none."""

    needs: str | None = None
    """What only some detectors have: ``"network"`` (a loss of their own) or ``"logits"``."""

    rule: str | None = None
    """The threshold rule that stands in for the default one."""

    def __init__(self) -> None:
        super().__init__()

    def _decide(self, Z: Array, y: Array, gram: Gram | None) -> SynthesisPlan:
        return no_synthesis(np.arange(len(y)), y)

    def _fit_resample(self, X: Array, y: Array, **params: Any) -> tuple[Any, Array]:
        return X, y

    def sample_weight(self, y: Array) -> NDArray[np.float64] | None:
        """Weigh each training row; None leaves them alike."""
        return None

    def loss(self, y: Array) -> Loss | None:
        """Give a network's loss, one value a row, from logits (n, classes) and class shares (n, classes)."""
        return None

    def logit_shift(self, y: Array) -> float:
        """How far the log odds of the anomaly are moved after training."""
        return 0.0

    def class_shifts(self, y: Array) -> NDArray[np.float64]:
        """How far each class's logit is moved after training, where there are more than two: (classes,)."""
        return np.zeros(int(y.max()) + 1)


class ClassWeight(Cost):
    """Weigh each row by the inverse of its class's frequency: n / (classes × n_c).

    Source: King & Zeng, "Logistic regression in rare events data", Political Analysis 9 (2001).
    """

    def sample_weight(self, y: Array) -> NDArray[np.float64]:
        """Give weights whose mean is 1."""
        classes, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
        weights: NDArray[np.float64] = (len(y) / (len(classes) * counts))[codes]
        return weights


class ClassBalanced(Cost):
    """Weigh each row by the inverse of its class's effective number, (1 − βⁿ) / (1 − β).

    Source: Cui, Jia, Lin, Song & Belongie, "Class-balanced loss based on effective number of samples", CVPR
    2019.

    Parameters
    ----------
    beta : float
        0 (no weighting) to below 1 (towards inverse frequency).
    """

    def __init__(self, beta: float = 0.999) -> None:
        super().__init__()
        if not 0 <= beta < 1:
            raise OptionError(f"class-balanced[beta={beta}] is out of range; choose 0 to below 1")
        self.beta = beta

    def sample_weight(self, y: Array) -> NDArray[np.float64]:
        """Give weights whose mean is 1."""
        _, codes, counts = np.unique(y, return_inverse=True, return_counts=True)
        weights = ((1 - self.beta) / (1 - self.beta ** counts.astype(np.float64)))[codes]
        scaled: NDArray[np.float64] = weights / weights.mean()
        return scaled


class Focal(Cost):
    """Focal loss: cross-entropy × (1 − p)^γ, so that rows already right count for little.

    Source: Lin, Goyal, Girshick, He & Dollár, "Focal loss for dense object detection", ICCV 2017, equation 5.

    Parameters
    ----------
    gamma : float
        0 gives cross-entropy.
    """

    needs = "network"

    def __init__(self, gamma: float = 2.0) -> None:
        super().__init__()
        if gamma < 0:
            raise OptionError(f"focal[gamma={gamma}] is out of range; choose 0 or more")
        self.gamma = gamma

    def loss(self, y: Array) -> Loss:
        """Give the loss, weighted by the inverse class frequency (the paper's α)."""
        import torch

        counts = np.bincount(np.asarray(y, dtype=np.int64), minlength=2).astype(np.float32)
        alpha = torch.from_numpy(len(y) / (len(counts) * np.maximum(counts, 1)))
        return FocalLoss(self.gamma, alpha)


class FocalLoss:
    """Focal loss of soft or hard labels, one value a row."""

    def __init__(self, gamma: float, alpha: torch.Tensor) -> None:
        self.gamma, self.alpha = gamma, alpha

    def __call__(self, logits: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        """Give (n,) losses from logits and class shares, both (n, classes)."""
        log_p = logits.log_softmax(dim=1)
        each = shares * self.alpha.to(logits) * (1 - log_p.exp()) ** self.gamma * -log_p
        return each.sum(dim=1)


class LogitAdjustment(Cost):
    """Move the log odds by τ times the log of the class ratio, after training.

    Source: Menon, Jayasumana, Rawat, Jain, Veit & Kumar, "Long-tail learning via logit adjustment", ICLR
    2021,
    section 4.1 (post hoc).

    Parameters
    ----------
    tau : float
        1 undoes the training prevalence.
    """

    needs = "logits"

    def __init__(self, tau: float = 1.0) -> None:
        super().__init__()
        self.tau = tau

    def logit_shift(self, y: Array) -> float:
        """Give τ log(normal / anomalous)."""
        anomalous = int((y == 1).sum())
        return float(self.tau * np.log((len(y) - anomalous) / anomalous))

    def class_shifts(self, y: Array) -> NDArray[np.float64]:
        """Give −τ log(share of the class)."""
        counts = np.bincount(np.asarray(y, dtype=np.int64))
        shifts: NDArray[np.float64] = -self.tau * np.log(counts / len(y))
        return shifts


class Threshold(Cost):
    """Leave the training alone and move the threshold, by a rule learned on inner out-of-fold scores.

    Source: Provost, "Machine learning from imbalanced data sets 101", AAAI 2000.

    Parameters
    ----------
    rule : str
        ``youden``, ``f1``, ``sensitivity=0.95``, ``specificity=0.95`` or ``cost=10``; see
        `raresight.evidence.thresholds`.
    """

    def __init__(self, rule: str = "youden") -> None:
        super().__init__()
        self.rule = rule
