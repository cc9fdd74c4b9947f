"""Supervised networks on pixels: what they share, whatever their architecture."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.utils.validation import check_is_fitted
from torch import nn

from raresight.detect.base import Detector
from raresight.detect.export import Difference
from raresight.errors import DataError, OptionError
from raresight.images.augment import Augmentation, find_augmentation
from raresight.networks.pixels import ImageNetwork, Mean, Normalise, Pixels
from raresight.networks.rows import ImageArray, ImageRows, Subset, channel_statistics
from raresight.networks.training import (
    Loss,
    Schedule,
    find_device,
    local_seed,
    network_output,
    train_network,
)

MEMBER_STRIDE = 1_000_003
"""Between the seeds of the members, so that the members of neighbouring seeds are not the same."""


class NetworkClassifier(ClassifierMixin, Detector):  # type: ignore[misc]
    """Base of the supervised networks; a subclass answers `_body` with its architecture.

    AdamW with a one-cycle learning rate; a validation part, which training never sees, says when to stop
    early, and then the weights of its best epoch are kept. The score is the mean of the members' logits
    (Lakshminarayanan et al. 2017). Where training mirrors images, a score is the mean over the image and its
    mirror image. The same data, settings and number of threads give the same scores.

    A subclass's parameters hold at least those below.

    Parameters
    ----------
    pixels : int
        The side that images are averaged down to, by the nearest whole factor.
    members : int
        Networks trained from different first weights, whose logits are averaged.
    loss : callable, optional
        From logits (n, classes) and class shares (n, classes) to (n,) losses; by default cross-entropy.
    epochs, patience, batch_size, learning_rate, weight_decay
        See `raresight.networks.training.Schedule`.
    augmentation : str or Augmentation
        A modality's name in `raresight.images.augment.AUGMENTATIONS`, or one's own.
    validation_fraction : float
        Share of the groups held back for early stopping when `fit` is given no validation part.
    device : {"auto", "cpu", "cuda"}
        ``"auto"`` takes a GPU when there is one.
    random_state : int
        Of the weights, the order of rows, the augmentation, the dropout and the validation part.

    Attributes
    ----------
    network_ : ImageNetwork
        The trained members as one network, on the CPU: stored pixels (n, height, width, channels) →
        logits (n, classes).
    classes_ : int array
        0 = normal, 1 = anomalous; or 0, 1, 2 …
    history_ : list of dict
        One an epoch of each member: ``member, epoch, train_loss, valid_loss``.
    validation_scores_ : (m,) float array
        Scores of the validation rows, in their order.
    """

    sees = "pixels"
    takes = ("pixels",)
    network = True
    logits = True
    stochastic = True
    multiclass = True
    least_side = 32
    """Pixels that the smaller side must keep."""

    pixels: int
    members: int
    loss: Loss | None
    epochs: int
    patience: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    augmentation: str | Augmentation
    validation_fraction: float
    device: str
    random_state: int

    def _body(self, channels: int, side: int, classes: int) -> nn.Module:
        """Make an untrained network from (n, channels, side, side) planes to (n, classes) logits."""
        raise NotImplementedError

    def fit(
        self,
        X: ImageArray,
        y: ArrayLike,
        groups: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
        validation: tuple[ImageArray, ArrayLike] | None = None,
    ) -> Self:
        """Train.

        Parameters
        ----------
        X : (n, height, width, channels) uint8 or uint16 array-like
            Indexed by integer arrays, a batch at a time; rows may be made only then. Where it has an
            attribute ``n_real``, only so many leading rows are real: the input is normalised by them.
        y : (n,) int array, or (n, classes) float array
            0 = normal, 1 = anomalous; or each class's share in a row, which sum to 1.
        groups : (n,) array, optional
            Rows of one group never part between training and validation.
        sample_weight : (n,) array, optional
            Multiplies each row's loss.
        validation : (X, y), optional
            Real images for early stopping, of groups that X has not. Without it a part of X is held
            back; where X has synthetic rows their parents may be in that part, so give it then.

        Raises
        ------
        DataError
            If images or labels do not fit, or are too few to hold some back.
        OptionError
            If a setting cannot be used.
        RaresightError
            If training diverges.
        """
        device = find_device(self.device)
        augmentation = self._augmentation()
        self._check_rows(X)
        shares = class_shares(y, len(X))
        weight = None if sample_weight is None else _weights(sample_weight, len(X))
        train, held = self._parts(X, shares, groups, weight, validation)

        make = self._maker(train.images)
        if self.members < 1:
            name = type(self).__name__.lower()
            raise OptionError(f"{name}[members={self.members}] is too small; choose at least 1")
        schedule = Schedule(
            self.epochs, self.patience, self.batch_size, self.learning_rate, self.weight_decay
        )
        bodies: list[nn.Module] = []
        self.history_ = []
        for member in range(self.members):
            seed = self.random_state + member * MEMBER_STRIDE
            with local_seed(seed, device):
                network = make(shares.shape[1])
            epochs = train_network(
                network,
                self._shown(train, seed),
                held,
                criterion=self.loss,
                schedule=schedule,
                augmentation=augmentation,
                device=device,
                seed=seed,
            )
            self.history_ += [{"member": member, **epoch} for epoch in epochs]
            bodies.append(network.body)
        whole = Mean(bodies, mirrored=augmentation.flip_horizontal)
        self.network_ = network.with_body(whole).eval()
        self.classes_ = np.arange(shares.shape[1])
        self.validation_scores_ = self.decision_function(held.images)
        return self

    def _check_rows(self, X: ImageArray) -> None:
        """Refuse what the network cannot see."""
        image_shape(X)

    def _augmentation(self) -> Augmentation:
        """Give how far training images are moved."""
        return find_augmentation(self.augmentation)

    def _shown(self, train: ImageRows, seed: int) -> ImageRows:
        """Give the training rows as one member is shown them."""
        return train

    def _maker(self, images: ImageArray) -> Callable[[int], ImageNetwork]:
        """Look at the training images, and give what makes an untrained network of so many classes."""
        height, width, channels = image_shape(images)
        factor = max(1, round(max(height, width) / self.pixels))
        if min(height, width) < self.least_side * factor:
            raise DataError(
                f"images of {height} × {width} leave nothing to see at {self.pixels} pixels; "
                f"the smaller side must keep at least {self.least_side}"
            )
        pixels = Pixels(images.dtype, factor)
        mean, std = channel_statistics(images, pixels, rows=getattr(images, "n_real", None))

        def make(classes: int) -> ImageNetwork:
            body = self._body(channels, min(height, width) // factor, classes)
            return ImageNetwork(pixels, nn.Sequential(Normalise(mean, std), body))

        return make

    def decision_function(self, X: ImageArray) -> NDArray[np.float64]:
        """Score images.

        Parameters
        ----------
        X : (n, height, width, channels) array-like
            Of the dtype and channels that the network was trained on.

        Returns
        -------
        (n,) float64 array
            The log odds of anomalous against normal, higher = more anomalous; with more than two classes
            (n, classes) logits.
        """
        check_is_fitted(self, "network_")
        logits = network_output(self.network_, X, device=find_device(self.device)).double().numpy()
        if logits.shape[1] > 2:
            return np.asarray(logits, np.float64)
        scores: NDArray[np.float64] = logits[:, 1] - logits[:, 0]
        return scores

    def predict_proba(self, X: ImageArray) -> NDArray[np.float64]:
        """(n, classes) probabilities, uncalibrated."""
        scores = self.decision_function(X)
        if scores.ndim == 2:
            odds = np.exp(scores - scores.max(axis=1, keepdims=True))
            shares: NDArray[np.float64] = odds / odds.sum(axis=1, keepdims=True)
            return shares
        anomalous = 1 / (1 + np.exp(-scores))
        return np.column_stack([1 - anomalous, anomalous])

    def predict(self, X: ImageArray) -> NDArray[np.int64]:
        """(n,) the likeliest class."""
        scores = self.decision_function(X)
        if scores.ndim == 2:
            return np.asarray(scores.argmax(axis=1), np.int64)
        return np.asarray(scores >= 0, np.int64)

    def scorer(self) -> nn.Module:
        """Give the network from stored pixels to the log odds, or to logits."""
        check_is_fitted(self, "network_")
        return Difference(self.network_) if len(self.classes_) == 2 else self.network_

    def _parts(
        self,
        X: ImageArray,
        shares: NDArray[np.float32],
        groups: ArrayLike | None,
        weight: NDArray[np.float32] | None,
        validation: tuple[ImageArray, ArrayLike] | None,
    ) -> tuple[ImageRows, ImageRows]:
        """Give the rows to train on, and those that say when to stop."""
        if validation is not None:
            X_held, y_held = validation
            if X_held.shape[1:] != X.shape[1:] or X_held.dtype != X.dtype:
                raise DataError(
                    f"validation images are {X_held.shape[1:]} {X_held.dtype}, "
                    f"training images {X.shape[1:]} {X.dtype}; prepare both alike"
                )
            held = class_shares(y_held, len(X_held), shares.shape[1])
            return ImageRows(X, shares, weight), ImageRows(X_held, held)
        inside, outside = hold_back(
            shares.argmax(axis=1), groups, self.validation_fraction, self.random_state
        )
        return (
            ImageRows(Subset(X, inside), shares[inside], None if weight is None else weight[inside]),
            ImageRows(Subset(X, outside), shares[outside]),
        )


def image_shape(X: ImageArray) -> tuple[int, int, int]:
    """Give height, width and channels of (n, height, width, 1 or 3) images; else `DataError`."""
    if len(X.shape) != 4 or X.shape[3] not in (1, 3):
        raise DataError(f"a network takes images (n, height, width, 1 or 3 channels), not {tuple(X.shape)}")
    return X.shape[1], X.shape[2], X.shape[3]


def class_shares(y: ArrayLike, n: int, classes: int | None = None) -> NDArray[np.float32]:
    """Turn labels 0 … k − 1 into class shares (n, at least 2); leave shares as they are.

    Parameters
    ----------
    y : (n,) int array, or (n, classes) float array
    n : int
        Rows that must be there.
    classes : int, optional
        By default as many as the highest label says.
    """
    labels = np.asarray(y)
    if len(labels) != n:
        raise DataError(f"there are {n} images but {len(labels)} labels; give one a row")
    if labels.ndim == 1:
        codes = labels.astype(np.int64)
        wanted = classes or max(2, int(codes.max(initial=1)) + 1)
        odd = (codes != labels).any() or (codes < 0).any() or (codes >= wanted).any()
        if odd or (classes is None and len(np.unique(codes)) <= codes.max()):
            raise DataError("labels must be 0 (normal) or 1 (anomalous), or the classes' numbers from 0 on")
        return np.eye(wanted, dtype=np.float32)[codes]
    if labels.ndim != 2 or not np.allclose(labels.sum(axis=1), 1) or (labels < 0).any():
        raise DataError("soft labels must be shares of the classes in a row, which sum to 1")
    return labels.astype(np.float32)


def _weights(sample_weight: ArrayLike, n: int) -> NDArray[np.float32]:
    weight = np.asarray(sample_weight, dtype=np.float32)
    if weight.shape != (n,) or not np.isfinite(weight).all() or (weight < 0).any() or not weight.any():
        raise DataError(f"sample weights must be {n} finite numbers from 0 on, not all of them 0")
    return weight


def hold_back(
    labels: NDArray[np.int64], groups: ArrayLike | None, fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split rows for training and validation: stratified, whole groups, every class on both sides."""
    if not 0 < fraction <= 0.5:
        raise OptionError(f"the validation fraction must lie above 0 and be at most 0.5, not {fraction}")
    members = np.arange(len(labels)) if groups is None else np.asarray(groups)
    classes = range(max(2, int(labels.max()) + 1))
    least = min(len(np.unique(members[labels == c])) for c in classes)
    folds = min(math.floor(1 / fraction), least)
    splits: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    if folds >= 2:
        folded = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        splits = [
            (inside, outside)
            for inside, outside in folded.split(labels, labels, members)
            if len(set(labels[inside])) == len(set(labels[outside])) == len(classes)
        ]
    if not splits:
        raise DataError(
            "too few groups of images in a class to hold some back for early stopping; "
            "each class needs at least two"
        )
    # Large groups make folds uneven: take the one whose classes are nearest to the whole's shares.
    whole = np.bincount(labels) / len(labels)

    def gap(split: tuple[NDArray[np.int64], NDArray[np.int64]]) -> float:
        shares = np.bincount(labels[split[1]], minlength=len(whole)) / len(split[1])
        return float(np.abs(shares - whole).max())

    return min(splits, key=gap)


def torch_scores(scorer: nn.Module, X: Any, *, size: int = 64, device: str = "cpu") -> NDArray[np.float64]:
    """Run a scorer over rows of any kind, block by block, in evaluation mode: (n,) float64."""
    scorer.eval().to(device)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(X), size):
            block = np.ascontiguousarray(X[np.arange(start, min(start + size, len(X)))])
            parts.append(scorer(torch.from_numpy(block).to(device)).double().cpu().numpy())
    scorer.cpu()
    return np.concatenate(parts)
