"""One-class detectors that hide parts of an image and redraw them from the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from raresight.detect.base import OneClassDetector
from raresight.detect.network import image_shape, torch_scores
from raresight.errors import DataError, OptionError
from raresight.images.augment import Augmentation, find_augmentation
from raresight.networks.masked import (
    ErrorMap,
    Masked,
    MaskedSwin,
    MaskedViT,
    Redrawer,
    TopMean,
    mean_image,
)
from raresight.networks.pixels import ImageNetwork, Pixels
from raresight.networks.rows import ImageArray, ImageRows, Subset
from raresight.networks.training import Schedule, find_device, local_seed, train_network
from raresight.networks.transformers import check_heads, check_patches


class MaskedDetector(OneClassDetector):
    """Base of the masked autoencoders; a subclass answers `_redrawer` and `_check`.

    Trained on normal images, a share of whose patches is hidden at random; the loss is the squared error
    where they are. To score an image its patches are cut into segments, which are hidden in turn, so that
    each patch is hidden equally often; what is redrawn less what is there is averaged to a map. The score is
    the mean of the highest absolute values of that map, smoothed, in deviations from the mean normal image.

    Attributes
    ----------
    network_ : ImageNetwork
        Of a `raresight.networks.masked.Masked`.
    history_ : list of dict
        One an epoch: ``epoch, train_loss, valid_loss``.
    """

    sees = "pixels[size=56]"
    takes = ("pixels",)
    network = True
    stochastic = True

    patch: int
    width: int
    depth: int
    heads: int
    mask_ratio: float
    segments: int
    rounds: int
    norm_pix: bool
    smoothing: int
    top: float
    epochs: int
    patience: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    augmentation: str | Augmentation
    validation_fraction: float
    device: str
    random_state: int

    def _redrawer(self, channels: int, side: int) -> Redrawer:
        """Make an untrained network."""
        raise NotImplementedError

    def _check(self, side: int) -> int:
        """Refuse options that do not fit images of a side; give the number of units a side."""
        raise NotImplementedError

    def _learn(self, X: ImageArray, held: ImageArray | None) -> None:
        height, width, channels = image_shape(X)
        if height != width:
            raise DataError(f"a masked autoencoder takes square images, not {height} × {width}")
        self._check_options(self._check(height) ** 2)
        device = find_device(self.device)
        if held is None:
            X, held = self._held_back(X)
        pixels = Pixels(X.dtype)
        mean, std = mean_image(X, pixels)
        with local_seed(self.random_state, device):
            body = Masked(
                self._redrawer(channels, height),
                mean,
                std,
                mask_ratio=self.mask_ratio,
                segments=self.segments,
                rounds=self.rounds,
                norm_pix=self.norm_pix,
                seed=self.random_state,
            )
        self.network_ = ImageNetwork(pixels, body)
        self.history_ = train_network(
            self.network_,
            _untargeted(X),
            _untargeted(held),
            criterion=_given,
            schedule=Schedule(
                self.epochs, self.patience, self.batch_size, self.learning_rate, self.weight_decay
            ),
            augmentation=find_augmentation(self.augmentation),
            device=device,
            seed=self.random_state,
        )

    def _check_options(self, units: int) -> None:
        name = type(self).__name__
        if not 0 < self.mask_ratio < 1:
            raise OptionError(f"{name}: mask_ratio={self.mask_ratio} must lie between 0 and 1")
        if self.segments < 2 or units % self.segments:
            fitting = ", ".join(str(s) for s in range(2, units + 1) if units % s == 0)
            raise OptionError(
                f"{name}: segments={self.segments} does not cut {units} patches evenly; "
                f"choose one of {fitting}"
            )
        if not 0 < self.top <= 1:
            raise OptionError(f"{name}: top={self.top} must lie above 0 and be at most 1")
        if self.smoothing < 1 or self.smoothing % 2 == 0:
            raise OptionError(f"{name}: smoothing={self.smoothing} must be odd, for example 1 or 5")
        for option in ("depth", "rounds", "epochs", "batch_size"):
            if getattr(self, option) < 1:
                raise OptionError(f"{name}: {option}={getattr(self, option)} is too small; choose at least 1")

    def _held_back(self, X: ImageArray) -> tuple[ImageArray, ImageArray]:
        """Split rows for training and for stopping, where no rows to stop by are given."""
        count = max(1, round(self.validation_fraction * len(X)))
        if not 0 < self.validation_fraction <= 0.5 or count >= len(X):
            raise OptionError(
                f"{type(self).__name__}: validation_fraction={self.validation_fraction} must lie above 0 and "
                "be at most 0.5"
            )
        order = np.random.default_rng(self.random_state).permutation(len(X))
        return Subset(X, np.sort(order[count:])), Subset(X, np.sort(order[:count]))

    def decision_function(self, X: ImageArray) -> NDArray[np.float64]:
        """Score (n, side, side, channels) images from 0 on."""
        return torch_scores(self.scorer(), X, device=find_device(self.device))

    def heatmap(self, X: ImageArray) -> NDArray[np.float32]:
        """Give the error maps, (n, side, side), from 0 on, on the scale of `Masked`'s standardised images."""
        check_is_fitted(self, "network_")
        return torch_scores(self.mapper(), X, device=find_device(self.device)).astype(np.float32)

    def mapper(self) -> nn.Module:
        """Give the error maps as a torch module."""
        return ErrorMap(self.network_, self.smoothing)

    def scorer(self) -> nn.Module:
        """Give the network from stored pixels to scores."""
        check_is_fitted(self, "network_")
        return nn.Sequential(ErrorMap(self.network_, self.smoothing), TopMean(self.top))

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Options that tuning tries."""
        return {
            "mask_ratio": trial.suggest_categorical("mask_ratio", [0.25, 0.5, 0.75]),
            "learning_rate": trial.suggest_float("learning_rate", 3e-4, 3e-3, log=True),
            "top": trial.suggest_float("top", 0.002, 0.3, log=True),
        }


class MAE(MaskedDetector):
    """What MONAI's masked autoencoder of ViT blocks, trained on normal images, cannot redraw.

    On one of five grouped folds, on which `smoothing` and `top` were chosen too (so the figures flatter), the
    AUROC was .83 on ``phantom:brain?n=600&anomalies=0.1&difficulty=0.5`` (370 normal images to train on, some
    12 anomalies, 77 s) and .87 on brain_tumor_yesno (67 normal images to train on, 18 s). On a split that
    nothing was chosen on, with 290 normal training images, the phantom's was .57 (benchmarks/detectors.md).

    Source: He, Chen, Xie, Li, Dollár & Girshick, "Masked autoencoders are scalable vision learners", CVPR
    2022.

    Parameters
    ----------
    patch : int
        Pixels a side of a token, which are hidden as a whole; must divide the images.
    width, depth, heads : int
        Of the encoder: length of a token, blocks, attention heads.
    decoder_width, decoder_depth : int
        Of the decoder.
    mask_ratio : float
        Share of the patches hidden in training; when scoring, the nearest whole number of segments.
    segments : int
        Parts of one size into which the patches are cut at random for scoring.
    rounds : int
        How often they are cut, each time differently.
    norm_pix : bool
        Whether the pixels of each patch are centred and scaled before they are compared; a lesion of even
        brightness is then seen at its border only.
    smoothing : int
        Side of the square, odd, over which errors are averaged.
    top : float
        Share of the map, its highest places, whose mean is the score.
    epochs, patience, batch_size, learning_rate, weight_decay
        See `raresight.networks.training.Schedule`.
    augmentation : str or Augmentation
        A name in `raresight.images.augment.AUGMENTATIONS`, or one's own.
    validation_fraction : float
        Share of the images held back for early stopping when `fit` is given no validation part.
    device : {"auto", "cpu", "cuda"}
    random_state : int
        Of the weights, the masks, the order of rows, the augmentation and the validation part.
    """

    def __init__(
        self,
        *,
        patch: int = 8,
        width: int = 96,
        depth: int = 4,
        heads: int = 4,
        decoder_width: int = 64,
        decoder_depth: int = 2,
        mask_ratio: float = 0.75,
        segments: int = 7,
        rounds: int = 1,
        norm_pix: bool = False,
        smoothing: int = 5,
        top: float = 0.03,
        epochs: int = 50,
        patience: int = 50,
        batch_size: int = 16,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.05,
        augmentation: str | Augmentation = "none",
        validation_fraction: float = 0.15,
        device: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.patch = patch
        self.width = width
        self.depth = depth
        self.heads = heads
        self.decoder_width = decoder_width
        self.decoder_depth = decoder_depth
        self.mask_ratio = mask_ratio
        self.segments = segments
        self.rounds = rounds
        self.norm_pix = norm_pix
        self.smoothing = smoothing
        self.top = top
        self.epochs = epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.augmentation = augmentation
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state

    def _check(self, side: int) -> int:
        check_patches(side, self.patch, "mae")
        check_heads(self.width, self.heads, "mae")
        check_heads(self.decoder_width, self.heads, "mae")
        return side // self.patch

    def _redrawer(self, channels: int, side: int) -> Redrawer:
        return MaskedViT(
            channels,
            side,
            patch=self.patch,
            width=self.width,
            depth=self.depth,
            heads=self.heads,
            decoder_width=self.decoder_width,
            decoder_depth=self.decoder_depth,
        )


class SwinMAE(MaskedDetector):
    """What a masked autoencoder of shifted-window attention, trained on normal images, cannot redraw.

    The paper that raresight follows names Rashmi et al., "Ano-swinMAE: transformer-based autoencoder for
    unsupervised brain anomaly detection" (2024), which hides parts of a brain MRI in turn and adds up the
    errors. On one grouped fold of brain_tumor_yesno (67 normal images to train on) the AUROC was .90, with
    50 epochs, 4 heads and the `smoothing` and `top` chosen for `MAE`; on the faint lesions of
    ``phantom:brain`` of difficulty .5 it was .55 (benchmarks/detectors.md): near chance.
    Source: Xu, Dai, Liu, Chen, Sun & Gao, "Swin MAE: masked autoencoders for small datasets",
    Computers in Biology and Medicine 161 (2023).

    Parameters
    ----------
    patch : int
        Pixels a side of a token; must divide the images into an even number a side.
    unit : int
        Pixels a side of the windows that are hidden as a whole, a multiple of `patch`.
    width, depth, heads, window : int
        See `raresight.networks.masked.MaskedSwin`.
    mask_ratio : float
        Share of the windows hidden in training; when scoring, the nearest whole number of segments.
    segments : int
        Parts of one size into which the windows are cut at random for scoring.
    rounds : int
        How often they are cut, each time differently.
    norm_pix : bool
        Whether the pixels of each window are centred and scaled before they are compared; a lesion of even
        brightness is then seen at its border only.
    smoothing : int
        Side of the square, odd, over which errors are averaged.
    top : float
        Share of the map, its highest places, whose mean is the score.
    epochs, patience, batch_size, learning_rate, weight_decay
        See `raresight.networks.training.Schedule`.
    augmentation : str or Augmentation
        A name in `raresight.images.augment.AUGMENTATIONS`, or one's own.
    validation_fraction : float
        Share of the images held back for early stopping when `fit` is given no validation part.
    device : {"auto", "cpu", "cuda"}
    random_state : int
        Of the weights, the masks, the order of rows, the augmentation and the validation part.
    """

    def __init__(
        self,
        *,
        patch: int = 4,
        unit: int = 8,
        width: int = 32,
        depth: int = 2,
        heads: int = 2,
        window: int = 7,
        mask_ratio: float = 0.75,
        segments: int = 7,
        rounds: int = 1,
        norm_pix: bool = False,
        smoothing: int = 5,
        top: float = 0.03,
        epochs: int = 40,
        patience: int = 40,
        batch_size: int = 16,
        learning_rate: float = 1e-3,
        weight_decay: float = 0.05,
        augmentation: str | Augmentation = "none",
        validation_fraction: float = 0.15,
        device: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.patch = patch
        self.unit = unit
        self.width = width
        self.depth = depth
        self.heads = heads
        self.window = window
        self.mask_ratio = mask_ratio
        self.segments = segments
        self.rounds = rounds
        self.norm_pix = norm_pix
        self.smoothing = smoothing
        self.top = top
        self.epochs = epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.augmentation = augmentation
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state

    def _check(self, side: int) -> int:
        check_patches(side, self.patch, "swin-mae")
        check_patches(side, self.unit, "swin-mae", "unit")
        check_heads(self.width, self.heads, "swin-mae")
        if self.window < 2:
            raise OptionError(f"swin-mae[window={self.window}] is too small; choose at least 2")
        if self.unit % self.patch or side // self.patch % 2:
            raise OptionError(
                f"swin-mae[patch={self.patch},unit={self.unit}] does not fit images of {side} pixels: a unit "
                "must hold whole patches, and their number a side must be even"
            )
        return side // self.unit

    def _redrawer(self, channels: int, side: int) -> Redrawer:
        return MaskedSwin(
            channels,
            side,
            patch=self.patch,
            unit=self.unit,
            width=self.width,
            depth=self.depth,
            heads=self.heads,
            window=self.window,
        )


def _untargeted(images: ImageArray) -> ImageRows:
    """Give images with targets that nothing looks at: the network compares them with themselves."""
    return ImageRows(images, np.zeros(len(images), np.float32))


def _given(errors: Tensor, _: Tensor) -> Tensor:
    """Take the network's output, which is the error already, as the loss."""
    return errors
