"""The deep perceptual autoencoder."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from torch import Tensor

from raresight.detect.reconstruction import CodeDetector
from raresight.errors import OptionError
from raresight.networks.perceptual import LEVELS, Features, GrowingAutoencoder, Perceptual
from raresight.networks.pixels import ImageNetwork
from raresight.networks.rows import ImageRows, read_block

FEATURE_ROWS = 200
"""Normal training images of which the features' mean and deviation are taken, at most."""

SHARES = (0.25, 0.25, 0.5)
"""Of the epochs, by level, the smallest images first."""


class PerceptualAutoencoder(CodeDetector):
    """An autoencoder whose loss is the relative L1 distance of pretrained features, its score their distance.

    It grows by resolution: a quarter of the epochs at a quarter of the side, a quarter at half of it, half
    at the whole. The features are those of EfficientNet-Lite0 in place of VGG19's, whose weights would need a
    download; new stages are not faded in; the score is the mean of the highest distances, not of all
    (``top=1``), since that overlooks small lesions. The paper's score is the relative distance, the loss
    itself (``relative=True``). An image with a lesion has larger features, by which its distance is then
    divided: trained as briefly as here, tumours of brain_tumor_yesno scored below normal images (AUROC .24),
    and AUROC was .56 on ``phantom:brain`` of difficulty .5. So the default is the distance in units of normal
    images' deviations: .60 on that phantom (benchmarks/detectors.md), far below the .85 that was hoped for.

    Source: Shvetsova, Bakker, Fedulova, Schulz & Dylov, "Anomaly detection in medical imaging with deep
    perceptual autoencoders", IEEE Access 2021.

    Parameters
    ----------
    pixels, width, top, epochs, patience, batch_size, learning_rate, weight_decay, validation_fraction, \
device, random_state
        See `raresight.detect.reconstruction.ReconstructionDetector`.
    latent : int
        See `raresight.detect.reconstruction.CodeDetector`.
    relative : bool
        Whether the score too is relative to the image's own features, as in the paper.
    """

    score = "l1"

    def __init__(
        self,
        *,
        pixels: int = 112,
        width: int = 16,
        latent: int = 128,
        top: float = 0.02,
        relative: bool = False,
        epochs: int = 16,
        patience: int = 15,
        batch_size: int = 16,
        learning_rate: float = 3e-3,
        weight_decay: float = 1e-4,
        validation_fraction: float = 0.15,
        device: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.pixels = pixels
        self.width = width
        self.latent = latent
        self.top = top
        self.relative = relative
        self.epochs = epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state

    def _body(self, mean: Tensor) -> Perceptual:
        if self.latent < 1:
            raise OptionError(f"latent={self.latent} is too short a code; choose at least 1")
        sides = mean.shape[1], mean.shape[2]
        network = GrowingAutoencoder(len(mean), sides, self.latent, self.width)
        return Perceptual(network, Features(), relative=self.relative)

    def _train(
        self, network: ImageNetwork, train: ImageRows, held: ImageRows, device: str
    ) -> list[dict[str, float]]:
        body = cast(Perceptual, network.body)
        some = np.random.default_rng(self.random_state).permutation(len(train))[:FEATURE_ROWS]
        parts = np.array_split(np.sort(some), -(-len(some) // self.batch_size))
        body.features.learn([network.pixels(read_block(train.images, part)) for part in parts])
        history: list[dict[str, float]] = []
        for level, share in zip(reversed(range(LEVELS)), SHARES, strict=True):
            body.network.level = level
            epochs = max(1, round(share * self.epochs))
            history += self._epochs(network, train, held, device, epochs)
        return [{**epoch, "epoch": number} for number, epoch in enumerate(history, 1)]

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Draw options, the length of the code among them."""
        return {
            "learning_rate": trial.suggest_float("learning_rate", 5e-4, 1e-2, log=True),
            "width": trial.suggest_categorical("width", [16, 24, 32]),
            "latent": trial.suggest_int("latent", 16, 512, log=True),
        }
