"""Lesions found pixel by pixel, by a network that learned from their masks."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn

from raresight.detect.base import Detector
from raresight.detect.network import class_shares, hold_back, image_shape, torch_scores
from raresight.errors import DataError, OptionError
from raresight.images.augment import Augmentation, find_augmentation
from raresight.networks.pixels import ImageNetwork
from raresight.networks.rows import ImageArray, MapRows, Subset
from raresight.networks.training import (
    Schedule,
    find_device,
    local_seed,
    network_output,
    train_network,
)
from raresight.networks.unet import LesionLoss, PixelShares, Standardised, TopMean, unet
from raresight.networks.windows import Windows

LEAST_SIDE = 32
"""Pixels that the smaller side must have."""


class UNet(ClassifierMixin, Detector):  # type: ignore[misc]
    """A U-Net of 0.2 million parameters, trained on lesions' masks; its heatmap is each pixel's probability.

    The score of an image is the mean log odds of its likeliest pixels, a fixed share of them: the mean over a
    few rather than the maximum, which one noisy pixel decides. It is trained on windows, half of them about a
    lesion; on whole images it stayed at chance on faint lesions. An anomalous image without a mask is not
    learned from.

    Source: Ronneberger, Fischer & Brox, "U-Net: convolutional networks for biomedical image segmentation",
    MICCAI 2015; in MONAI's form, with residual units and batch normalisation.

    Parameters
    ----------
    width : int
        Feature maps of the first level; each further one has twice as many.
    units : int
        Convolutions in each residual unit.
    dropout : float
        0 to below 1.
    top : float
        Share of the pixels whose log odds make the score, above 0 to 1.
    window : int
        Side of the windows, in pixels.
    epochs, patience, batch_size, learning_rate, weight_decay
        See `raresight.networks.training.Schedule`; an epoch has eight windows of each image.
    augmentation : str or Augmentation
        A modality's name in `raresight.images.augment.AUGMENTATIONS`, or one's own.
    validation_fraction : float
        Share of the groups held back for early stopping when `fit` is given no validation part.
    device : {"auto", "cpu", "cuda"}
    random_state : int
        Of the weights, the order of rows, the augmentation, the dropout and the validation part.

    Attributes
    ----------
    network_ : ImageNetwork
        Stored pixels (n, h, w, channels) → log odds (n, 1, h, w), on the CPU.
    classes_ : int array
        0 = normal, 1 = anomalous.
    history_ : list of dict
        One an epoch: ``epoch, train_loss, valid_loss``.
    """

    sees = "pixels"
    takes = ("pixels",)
    network = True
    stochastic = True
    masks = True

    def __init__(
        self,
        *,
        width: int = 8,
        units: int = 1,
        dropout: float = 0.0,
        top: float = 0.002,
        window: int = 56,
        epochs: int = 16,
        patience: int = 16,
        batch_size: int = 16,
        learning_rate: float = 4e-3,
        weight_decay: float = 1e-3,
        augmentation: str | Augmentation = "default",
        validation_fraction: float = 0.15,
        device: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.width = width
        self.units = units
        self.dropout = dropout
        self.top = top
        self.window = window
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
        masks: Any = None,
        validation: tuple[ImageArray, ArrayLike, Any] | None = None,
    ) -> Self:
        """Train.

        Parameters
        ----------
        X : (n, h, w, channels) uint8 or uint16 array-like
            Read a batch at a time.
        y : (n,) int array
            0 = normal, 1 = anomalous.
        groups : (n,) array, optional
            Rows of one group never part between training and validation.
        sample_weight : (n,) array, optional
            Multiplies each row's loss.
        masks : (n, h, w) uint8 array-like
            255 on a lesion, else 0. An anomalous row without a marked pixel counts as one whose lesion is not
            known.
        validation : (X, y, masks), optional
            Of groups that X has not; without it a part of X is held back.

        Raises
        ------
        DataError
            If images, labels or masks do not fit or contradict each other, or no anomalous row has a mask.
        OptionError
            If a setting cannot be used.
        RaresightError
            If training diverges.
        """
        self._check_options()
        device, augmentation = find_device(self.device), find_augmentation(self.augmentation)
        height, width, channels = image_shape(X)
        if min(height, width) < LEAST_SIDE:
            raise DataError(f"images of {height} × {width} are too small; a U-Net takes {LEAST_SIDE} or more")
        train, held = self._parts(X, y, groups, sample_weight, masks, validation)
        with local_seed(self.random_state, device):
            body = unet(channels, width=self.width, units=self.units, dropout=self.dropout)
        self.network_ = ImageNetwork(Standardised(X.dtype), body)
        self.history_ = train_network(
            self.network_,
            train,
            held,
            criterion=LesionLoss(),
            schedule=Schedule(
                self.epochs, self.patience, self.batch_size, self.learning_rate, self.weight_decay
            ),
            augmentation=augmentation,
            windows=Windows(self.window),
            device=device,
            seed=self.random_state,
        )
        self.classes_ = np.arange(2)
        return self

    def decision_function(self, X: ImageArray) -> NDArray[np.float64]:
        """Score (n, h, w, channels) images: the mean log odds of the likeliest pixels."""
        check_is_fitted(self, "network_")
        return torch_scores(self.scorer(), X, device=find_device(self.device))

    def predict_proba(self, X: ImageArray) -> NDArray[np.float64]:
        """(n, 2) probabilities, uncalibrated: the score, of pixels, taken for the image's log odds."""
        anomalous = expit(self.decision_function(X))
        return np.column_stack([1 - anomalous, anomalous])

    def predict(self, X: ImageArray) -> NDArray[np.int64]:
        """(n,) the likelier class."""
        return np.asarray(self.decision_function(X) >= 0, np.int64)

    def heatmap(self, X: ImageArray) -> NDArray[np.float32]:
        """Give the probability of a lesion in each pixel, (n, h, w), 0 to 1."""
        check_is_fitted(self, "network_")
        odds = network_output(self.network_, X, device=find_device(self.device))
        return np.asarray(torch.sigmoid(odds[:, 0]).numpy(), np.float32)

    def scorer(self) -> nn.Module:
        """Give the network from stored pixels to the score."""
        check_is_fitted(self, "network_")
        return TopMean(self.network_, self.top)

    def mapper(self) -> nn.Module:
        """Give the pixels' probabilities as a torch module."""
        check_is_fitted(self, "network_")
        return PixelShares(self.network_)

    def _check_options(self) -> None:
        if not 0 < self.top <= 1:
            raise OptionError(f"unet[top={self.top}] is out of range; choose above 0 to 1")
        if self.window < LEAST_SIDE:
            raise OptionError(f"unet[window={self.window}] is out of range; choose {LEAST_SIDE} or more")
        if self.width < 1 or self.units < 0:
            raise OptionError(
                f"unet[width={self.width},units={self.units}] is out of range; choose a width of 1 and units "
                "of 0 at least"
            )
        if not 0 <= self.dropout < 1:
            raise OptionError(f"unet[dropout={self.dropout}] is out of range; choose 0 to below 1")

    def _parts(
        self,
        X: ImageArray,
        y: ArrayLike,
        groups: ArrayLike | None,
        sample_weight: ArrayLike | None,
        masks: Any,
        validation: tuple[ImageArray, ArrayLike, Any] | None,
    ) -> tuple[MapRows, MapRows]:
        """Give the rows to train on, and those that say when to stop."""
        label = class_shares(y, len(X), 2).argmax(axis=1)
        known = check_masks(X, label, masks)
        if not (known & (label == 1)).any():
            raise DataError(
                "no anomalous image among the training rows has a mask, which a U-Net learns from; "
                "name masks in a column mask of the manifest"
            )
        weight = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, np.float32)
        if validation is not None:
            X_held, y_held, held_masks = validation
            held_label = class_shares(y_held, len(X_held), 2).argmax(axis=1)
            known_held = check_masks(X_held, held_label, held_masks)
            held = MapRows(X_held, held_masks, known_held, held_label == 1)
            return MapRows(X, masks, known, label == 1, weight), held
        inside, outside = hold_back(label, groups, self.validation_fraction, self.random_state)

        def part(rows: NDArray[np.int64]) -> MapRows:
            return MapRows(Subset(X, rows), Subset(masks, rows), known[rows], label[rows] == 1, weight[rows])

        return part(inside), part(outside)

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
            "top": trial.suggest_float("top", 5e-4, 0.02, log=True),
            "window": trial.suggest_categorical("window", [40, 56, 80]),
        }


def check_masks(X: ImageArray, label: NDArray[np.int64], masks: Any) -> NDArray[np.bool_]:
    """Tell for which rows the masks say what is ill: (n,), true of normal rows and where a lesion is marked.

    Raises
    ------
    DataError
        If there are none, they do not fit the images, or one marks a lesion in a normal image.
    """
    if masks is None:
        raise DataError(
            "a U-Net learns from masks; name them in a column mask of the manifest, or give fit its masks="
        )
    if tuple(masks.shape) != tuple(X.shape[:3]):
        raise DataError(f"masks {tuple(masks.shape)} do not fit images {tuple(X.shape)}; give (n, h, w)")
    marked = np.array([bool(masks[np.array([row])].any()) for row in range(len(X))], dtype=bool)
    odd = np.flatnonzero(marked & (label == 0))
    if len(odd):
        raise DataError(
            f"{len(odd)} normal image(s) have a lesion in their mask, the first in row {odd[0]}; "
            "correct either"
        )
    known: NDArray[np.bool_] = marked | (label == 0)
    return known
