"""The compact residual network, trained from scratch: the paper's CNN in today's form."""

from __future__ import annotations

import math
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.utils.validation import check_is_fitted

from raresight.errors import DataError, OptionError
from raresight.images.augment import Augmentation, find_augmentation
from raresight.networks.pixels import ImageNetwork, Mean, Normalise, Pixels
from raresight.networks.residual import residual_network
from raresight.networks.rows import ImageArray, ImageRows, channel_statistics
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


class CNN(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Two residual networks of 0.3 million parameters (He et al. 2016), from MONAI, trained through skorch.

    AdamW with a one-cycle learning rate; a validation part, which training never sees, says when to stop
    early, and then the weights of its best epoch are kept. The score is the mean of the members' logits:
    on few images, two networks of 25 epochs rank better than one of 50 in the same time (Lakshminarayanan
    et al. 2017). Where training mirrors images, a score is the mean over the image and its mirror image.
    The same data, settings and number of threads give the same scores.

    Parameters
    ----------
    pixels : int
        The side that images are averaged down to, by the nearest whole factor.
    width : int
        Feature maps of the first stage.
    dropout : float
        Share of the pooled features dropped in training, 0 to below 1.
    members : int
        Networks trained from different first weights, whose logits are averaged.
    loss : callable, optional
        From logits (n, 2) and class shares (n, 2) to (n,) losses; by default cross-entropy.
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
        logits (n, 2).
    classes_ : (2,) int array
        0 = normal, 1 = anomalous.
    history_ : list of dict
        One an epoch of each member: ``member, epoch, train_loss, valid_loss``.
    validation_scores_ : (m,) float array
        Scores of the validation rows, in their order.
    """

    sees = "pixels"
    scaled = False
    network = True
    logits = True
    stochastic = True
    default_threshold = 0.0

    def __init__(
        self,
        *,
        pixels: int = 112,
        width: int = 16,
        dropout: float = 0.2,
        members: int = 2,
        loss: Loss | None = None,
        epochs: int = 25,
        patience: int = 15,
        batch_size: int = 16,
        learning_rate: float = 3e-3,
        weight_decay: float = 0.05,
        augmentation: str | Augmentation = "default",
        validation_fraction: float = 0.15,
        device: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.pixels = pixels
        self.width = width
        self.dropout = dropout
        self.members = members
        self.loss = loss
        self.epochs = epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.augmentation = augmentation
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state

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
        y : (n,) int array, or (n, 2) float array
            0 = normal, 1 = anomalous; or each class's share in a row, the two summing to 1.
        groups : (n,) array, optional
            Rows of one group never part between training and validation.
        sample_weight : (n,) array, optional
            Multiplies each row's loss.
        validation : (X, y), optional
            Real images for early stopping, of groups that X has not. Without it a part of X is held
            back; where X has synthetic rows their parents may be in that part, so give it then.

        Returns
        -------
        CNN

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
        augmentation = find_augmentation(self.augmentation)
        height, width, channels = _image_shape(X)
        shares = _class_shares(y, len(X))
        weight = None if sample_weight is None else _weights(sample_weight, len(X))
        train, held = self._parts(X, shares, groups, weight, validation)

        factor = max(1, round(max(height, width) / self.pixels))
        if min(height, width) < 32 * factor:
            raise DataError(
                f"images of {height} × {width} leave nothing to see at {self.pixels} pixels; "
                "the smaller side must keep at least 32"
            )
        pixels = Pixels(X.dtype, factor)
        mean, std = channel_statistics(train.images, pixels, rows=getattr(train.images, "n_real", None))
        if self.members < 1:
            raise OptionError(f"cnn[members={self.members}] is too small; choose at least 1")
        schedule = Schedule(
            self.epochs, self.patience, self.batch_size, self.learning_rate, self.weight_decay
        )
        bodies: list[torch.nn.Module] = []
        self.history_ = []
        for member in range(self.members):
            seed = self.random_state + member * MEMBER_STRIDE
            with local_seed(seed, device):
                body = residual_network(channels, width=self.width, dropout=self.dropout)
                network = ImageNetwork(pixels, torch.nn.Sequential(Normalise(mean, std), body))
            epochs = train_network(
                network,
                train,
                held,
                criterion=self.loss,
                schedule=schedule,
                augmentation=augmentation,
                device=device,
                seed=seed,
            )
            self.history_ += [{"member": member, **epoch} for epoch in epochs]
            bodies.append(network.body)
        self.network_ = ImageNetwork(pixels, Mean(bodies, mirrored=augmentation.flip_horizontal)).eval()
        self.classes_ = np.array([0, 1])
        self.validation_scores_ = self.decision_function(held.images)
        return self

    def decision_function(self, X: ImageArray) -> NDArray[np.float64]:
        """Score images: the log odds of anomalous against normal, higher = more anomalous.

        Parameters
        ----------
        X : (n, height, width, channels) array-like
            Of the dtype and channels that the network was trained on.

        Returns
        -------
        (n,) float64 array
        """
        check_is_fitted(self)
        logits = network_output(self.network_, X, device=find_device(self.device)).double().numpy()
        scores: NDArray[np.float64] = logits[:, 1] - logits[:, 0]
        return scores

    def predict_proba(self, X: ImageArray) -> NDArray[np.float64]:
        """(n, 2) probabilities of normal and anomalous, uncalibrated."""
        anomalous = 1 / (1 + np.exp(-self.decision_function(X)))
        return np.column_stack([1 - anomalous, anomalous])

    def predict(self, X: ImageArray) -> NDArray[np.int64]:
        """(n,) 1 where anomalous is the likelier class."""
        return (self.decision_function(X) >= self.default_threshold).astype(np.int64)

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Draw settings from the detector's search space.

        Parameters
        ----------
        trial : optuna.Trial

        Returns
        -------
        dict
            For `set_params`.
        """
        return {
            "learning_rate": trial.suggest_float("learning_rate", 5e-4, 1e-2, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-3, 0.3, log=True),
            "width": trial.suggest_categorical("width", [8, 16, 24]),
            "dropout": trial.suggest_float("dropout", 0.0, 0.5),
        }

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
            return ImageRows(X, shares, weight), ImageRows(X_held, _class_shares(y_held, len(X_held)))
        inside, outside = _hold_back(
            shares.argmax(axis=1), groups, self.validation_fraction, self.random_state
        )
        return (
            ImageRows(_Subset(X, inside), shares[inside], None if weight is None else weight[inside]),
            ImageRows(_Subset(X, outside), shares[outside]),
        )


class _Subset:
    """Some rows of an image array, still read only when indexed."""

    def __init__(self, images: ImageArray, rows: NDArray[np.int64]) -> None:
        self.images, self.rows = images, rows
        self.shape = (len(rows), *images.shape[1:])
        self.dtype = images.dtype
        # Real rows lead and `rows` ascends, so that they lead here too.
        self.n_real = int((rows < getattr(images, "n_real", len(images))).sum())

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any, /) -> Any:
        return self.images[self.rows[rows]]


def _image_shape(X: ImageArray) -> tuple[int, int, int]:
    if len(X.shape) != 4 or X.shape[3] not in (1, 3):
        raise DataError(f"a network takes images (n, height, width, 1 or 3 channels), not {tuple(X.shape)}")
    return X.shape[1], X.shape[2], X.shape[3]


def _class_shares(y: ArrayLike, n: int) -> NDArray[np.float32]:
    """Turn 0/1 labels into class shares (n, 2); leave shares as they are."""
    labels = np.asarray(y)
    if len(labels) != n:
        raise DataError(f"there are {n} images but {len(labels)} labels; give one a row")
    if labels.ndim == 1:
        if not np.isin(labels, (0, 1)).all():
            raise DataError("labels must be 0 (normal) or 1 (anomalous)")
        return np.eye(2, dtype=np.float32)[labels.astype(np.int64)]
    if labels.shape != (n, 2) or not np.allclose(labels.sum(axis=1), 1) or (labels < 0).any():
        raise DataError("soft labels must be two shares a row that sum to 1")
    return labels.astype(np.float32)


def _weights(sample_weight: ArrayLike, n: int) -> NDArray[np.float32]:
    weight = np.asarray(sample_weight, dtype=np.float32)
    if weight.shape != (n,) or not np.isfinite(weight).all() or (weight < 0).any() or not weight.any():
        raise DataError(f"sample weights must be {n} finite numbers from 0 on, not all of them 0")
    return weight


def _hold_back(
    labels: NDArray[np.int64], groups: ArrayLike | None, fraction: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split rows for training and validation: stratified, whole groups, both classes on both sides."""
    if not 0 < fraction <= 0.5:
        raise OptionError(f"the validation fraction must lie above 0 and be at most 0.5, not {fraction}")
    members = np.arange(len(labels)) if groups is None else np.asarray(groups)
    least = min(len(np.unique(members[labels == c])) for c in (0, 1))
    folds = min(math.floor(1 / fraction), least)
    splits: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    if folds >= 2:
        folded = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        splits = [
            (inside, outside)
            for inside, outside in folded.split(labels, labels, members)
            if len(set(labels[inside])) == len(set(labels[outside])) == 2
        ]
    if not splits:
        raise DataError(
            "too few groups of images in a class to hold some back for early stopping; "
            "each class needs at least two"
        )
    # Large groups make folds uneven: take the one whose share of anomalies is nearest to the whole's.
    return min(splits, key=lambda split: abs(labels[split[1]].mean() - labels.mean()))
