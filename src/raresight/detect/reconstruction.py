"""One-class detectors that learn to redraw normal images: what they cannot redraw is anomalous."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn
from torch.nn import functional as nnf

from raresight.detect.base import OneClassDetector
from raresight.detect.network import image_shape, torch_scores
from raresight.errors import DataError, OptionError
from raresight.networks.pixels import ImageNetwork, Pixels
from raresight.networks.reconstruction import ErrorMaps, Redrawing, TopShare
from raresight.networks.redrawers import DenseAutoencoder
from raresight.networks.rows import ImageArray, ImageRows, Subset, blocks, read_block
from raresight.networks.training import BLOCK, Schedule, find_device, local_seed, train_network

LEAST_SIDE = 32
STRIDE = 8
"""The smallest side that is redrawn; sides must be multiples of the networks' whole stride."""


class ReconstructionDetector(OneClassDetector):
    """Base: a network is trained to redraw normal images; the error where it fails is the score.

    The error map is smoothed (a lesion is larger than noise), and the image's score is the mean of its
    highest 2 % of pixels (a lesion is smaller than the image). AdamW with a one-cycle learning rate; normal
    validation rows, which training never sees, say when to stop early. A subclass answers `_body`.

    Its papers train for hours at 128 pixels with Adam at 1e-4; a minute on one processor core is had by 56
    pixels and a higher peak rate. On the faint lesions of ``phantom:brain`` of difficulty .5, with 290 normal
    training images, AUROC was then .57 (`ae`, `ceae`), .58 (`vae`), .59 (`cevae`) and .77 (`dae`), where a
    reconstruction should reach .70 (benchmarks/detectors.md): what an autoencoder cannot redraw there is
    edges and noise, which weigh more than a lesion of a sixth of the tissue's brightness.

    Parameters
    ----------
    pixels : int
        The side that images are averaged down to, by the nearest whole factor.
    width : int
        Feature maps of the first stage.
    score : {"l1", "l2", "ssim"}
        The error: absolute or squared difference, or structural dissimilarity.
    top : float
        Share of the pixels whose mean error is the score, above 0 to 1 (1: the mean error).
    epochs, patience, batch_size, learning_rate, weight_decay
        See `raresight.networks.training.Schedule`.
    validation_fraction : float
        Share of the normal rows held back for early stopping when `fit` is given no validation part.
    device : {"auto", "cpu", "cuda"}
    random_state : int
        Of the weights, the order of rows, and what is drawn in training.

    Attributes
    ----------
    network_ : ImageNetwork
        On the CPU: stored pixels → training losses; its `body` gives the error maps.
    history_ : list of dict
        One an epoch: ``epoch, train_loss, valid_loss``.
    """

    sees = "pixels[size=112]"
    takes = ("pixels",)
    network = True
    stochastic = True

    pixels: int
    width: int
    score: str
    top: float
    epochs: int
    patience: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    validation_fraction: float
    device: str
    random_state: int

    def _body(self, mean: Tensor) -> Redrawing:
        """Make what is trained, given the (c, h, w) mean image."""
        raise NotImplementedError

    def _learn(self, X: ImageArray, held: ImageArray | None) -> None:
        name = type(self).__name__
        device = find_device(self.device)
        if not 0 < self.top <= 1:
            raise OptionError(f"{name}'s top must lie above 0 and be at most 1, not {self.top}")
        if self.width < 8 or self.width % 8:
            raise OptionError(f"{name}'s width must be a multiple of 8, not {self.width}")
        train, held = self._parts(X, held)
        pixels = self._pixels(X)
        with local_seed(self.random_state, device):
            network = ImageNetwork(pixels, self._body(mean_image(train, pixels)))
        self.history_ = self._train(network, _rows(train), _rows(held), device)
        self.network_ = network.eval()

    def _train(
        self, network: ImageNetwork, train: ImageRows, held: ImageRows, device: str
    ) -> list[dict[str, float]]:
        return self._epochs(network, train, held, device, self.epochs)

    def _epochs(
        self, network: ImageNetwork, train: ImageRows, held: ImageRows, device: str, epochs: int
    ) -> list[dict[str, float]]:
        return train_network(
            network,
            train,
            held,
            criterion=own_loss,
            schedule=Schedule(epochs, self.patience, self.batch_size, self.learning_rate, self.weight_decay),
            device=device,
            seed=self.random_state,
        )

    def _parts(self, X: ImageArray, held: ImageArray | None) -> tuple[ImageArray, ImageArray]:
        """Give the rows to train on, and those that say when to stop."""
        if held is not None:
            if held.shape[1:] != X.shape[1:] or held.dtype != X.dtype:
                raise DataError(
                    f"validation images are {held.shape[1:]} {held.dtype}, "
                    f"training images {X.shape[1:]} {X.dtype}; prepare both alike"
                )
            return X, held
        if not 0 < self.validation_fraction <= 0.5:
            raise OptionError(
                f"the validation fraction must lie above 0 and be at most 0.5, not {self.validation_fraction}"
            )
        order = np.random.default_rng(self.random_state).permutation(len(X))
        out = max(1, round(self.validation_fraction * len(X)))
        return Subset(X, np.sort(order[out:])), Subset(X, np.sort(order[:out]))

    def _pixels(self, X: ImageArray) -> Pixels:
        height, width, _ = image_shape(X)
        factor = max(1, round(max(height, width) / self.pixels))
        sides = height // factor, width // factor
        if min(sides) < LEAST_SIDE or any(side % STRIDE for side in sides):
            raise DataError(
                f"images of {height} × {width} would be redrawn at {sides[0]} × {sides[1]}; both sides must "
                f"be multiples of {STRIDE} and at least {LEAST_SIDE}: choose other pixels or a larger size"
            )
        return Pixels(X.dtype, factor)

    def decision_function(self, X: ImageArray) -> NDArray[np.float64]:
        """Score (n, height, width, channels) images from 0 on."""
        check_is_fitted(self, "network_")
        return torch_scores(self.scorer(), X, size=BLOCK, device=find_device(self.device))

    def scorer(self) -> nn.Module:
        """Give the network from stored pixels to scores."""
        check_is_fitted(self, "network_")
        body: Any = self.network_.body
        return ImageNetwork(self.network_.pixels, TopShare(body, self.top)).eval()

    def heatmap(self, X: ImageArray) -> NDArray[np.float32]:
        """Error maps of (n, height, width, channels) images, (n, height, width), smoothed and enlarged."""
        check_is_fitted(self, "network_")
        body: Any = self.network_.eval().body
        found = np.empty(X.shape[:3], np.float32)
        with torch.inference_mode():
            for rows in blocks(len(X), BLOCK):
                maps = body.maps(self.network_.pixels(read_block(X, rows)))
                found[rows] = nnf.interpolate(maps, size=X.shape[1:3], mode="bilinear")[:, 0].numpy()
        return found

    def mapper(self) -> nn.Module:
        """Give the error maps, as large as what is redrawn, as a torch module."""
        check_is_fitted(self, "network_")
        return ErrorMaps(self.network_)

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Draw options of the network without a code."""
        return {
            "learning_rate": trial.suggest_float("learning_rate", 1e-3, 1e-2, log=True),
            "width": trial.suggest_categorical("width", [16, 24, 32]),
            "score": trial.suggest_categorical("score", ["l1", "l2", "ssim"]),
        }


class CodeDetector(ReconstructionDetector):
    """Base of those that redraw an image from a short dense code.

    Parameters
    ----------
    latent : int
        Length of the code. One too long redraws anomalies as well, one too short redraws nothing.
    """

    latent: int

    def _autoencoder(self, mean: Tensor) -> DenseAutoencoder:
        if self.latent < 1:
            raise OptionError(f"latent={self.latent} is too short a code; choose at least 1")
        return DenseAutoencoder(mean, self.latent, self.width)

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Draw options, the length of the code among them."""
        return {
            **ReconstructionDetector.search_space(trial),
            "latent": trial.suggest_int("latent", 16, 512, log=True),
        }


def mean_image(images: ImageArray, pixels: Pixels) -> Tensor:
    """Average images as `pixels` gives them, (c, h, w), a block at a time."""
    total = sum(pixels(read_block(images, rows)).double().sum(dim=0) for rows in blocks(len(images), BLOCK))
    return (torch.as_tensor(total) / len(images)).float().contiguous()


def own_loss(loss: Tensor, target: Tensor) -> Tensor:
    """Pass on what the network gives: its output is its loss."""
    return loss


def _rows(images: ImageArray) -> ImageRows:
    return ImageRows(images, np.zeros(len(images)))
