"""One-class detectors that hold an image against the nearest one that a generator of normal images draws."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from raresight.detect.base import OneClassDetector
from raresight.detect.network import image_shape, torch_scores
from raresight.errors import OptionError
from raresight.networks.inversion import Encoded, Searched, fit_encoder
from raresight.networks.redrawn import Planes, Redrawn, Residual
from raresight.networks.rows import ImageArray, read_block
from raresight.networks.training import find_device
from raresight.networks.wgan import AdversarialSettings, Pair, fit_pair, restarted

HELD_ROWS = 256
"""Images held back by which an encoder's weights are chosen, at most."""


class AdversarialDetector(OneClassDetector):
    """Base of the detectors on a WGAN-GP of normal images; a subclass answers `_invert` and `_weights`.

    Attributes
    ----------
    pair_ : Pair
        Generator and critic.
    restarts_ : int
        How often training diverged and was begun again, from other first weights.
    """

    sees = "pixels[size=56]"
    takes = ("pixels",)
    network = True
    stochastic = True
    power: ClassVar[int] = 2
    """Of the differences that the score averages."""

    latent: int
    width: int
    steps: int
    critic_steps: int
    penalty: float
    batch_size: int
    learning_rate: float
    top: float
    smoothing: int
    device: str
    random_state: int

    def _invert(
        self, pair: Pair, X: ImageArray, held: ImageArray | None, device: str, seed: int
    ) -> nn.Module:
        """Give what redraws planes."""
        raise NotImplementedError

    def _weights(self) -> tuple[float, float]:
        """Weights of the image error and of the feature error in the score."""
        raise NotImplementedError

    def _counts(self) -> tuple[str, ...]:
        """Names of the options that must be at least 1."""
        return "latent", "width", "steps", "critic_steps", "batch_size", "smoothing"

    def _check(self) -> None:
        name = type(self).__name__
        for option in self._counts():
            if getattr(self, option) < 1:
                raise OptionError(f"{name}: {option}={getattr(self, option)} is too small; choose at least 1")
        if not 0 < self.top <= 1:
            raise OptionError(f"{name}: top={self.top} must lie above 0 and be at most 1")
        if self.smoothing % 2 == 0:
            raise OptionError(f"{name}: smoothing={self.smoothing} must be odd, for example 1 or 3")
        if not self.learning_rate > 0:
            raise OptionError(f"{name}: learning_rate={self.learning_rate} must lie above 0")

    def _learn(self, X: ImageArray, held: ImageArray | None) -> None:
        self._check()
        height, width, _ = image_shape(X)
        device = find_device(self.device)
        self.planes_ = Planes(X.dtype, max(height, width))
        settings = AdversarialSettings(
            self.latent,
            self.width,
            self.steps,
            self.critic_steps,
            self.penalty,
            self.batch_size,
            self.learning_rate,
        )
        labels = np.zeros(len(X), np.int64)

        def attempt(seed: int) -> tuple[Pair, nn.Module]:
            pair = fit_pair(lambda rows: self._read(X, rows), labels, settings, device=device, seed=seed)
            return pair, self._invert(pair, X, held, device, seed)

        (self.pair_, self.redraw_), again = restarted(attempt, self.random_state, self.learning_rate)
        self.restarts_ = again + self.pair_.restarts

    def _read(self, X: ImageArray, rows: NDArray[np.int64]) -> Tensor:
        planes: Tensor = self.planes_(read_block(X, rows))
        return planes

    def scorer(self) -> nn.Module:
        """Give the network from stored pixels to scores."""
        check_is_fitted(self, "pair_")
        return Redrawn(
            self.planes_,
            self.redraw_,
            self.pair_.critic.features,
            self._weights(),
            power=self.power,
            top=self.top,
            smoothing=self.smoothing,
        )

    def decision_function(self, X: ImageArray) -> NDArray[np.float64]:
        """Score (n, height, width, channels) images from 0 on."""
        return torch_scores(self.scorer(), X, device=find_device(self.device))

    def heatmap(self, X: ImageArray) -> NDArray[np.float32]:
        """Give the absolute differences from the redrawn images, (n, height, width), 0 to 2."""
        return torch_scores(self.mapper(), X, device=find_device(self.device)).astype(np.float32)

    def mapper(self) -> nn.Module:
        """Give the differences as a torch module."""
        return Residual(self.scorer())  # type: ignore[arg-type]

    @staticmethod
    def search_space(trial: Any) -> dict[str, Any]:
        """Options that tuning tries."""
        return {
            "latent": trial.suggest_categorical("latent", [32, 64, 128]),
            "learning_rate": trial.suggest_float("learning_rate", 5e-5, 1e-3, log=True),
            "top": trial.suggest_float("top", 0.01, 1.0, log=True),
        }


class FAnoGAN(AdversarialDetector):
    """What a WGAN-GP of normal images and an encoder trained to it cannot redraw.

    The score is the squared difference from the redrawn image plus `kappa` times that of the critic's
    features; the encoder is trained on the same sum (``izi_f``). The normal images of `validation` say which
    of the encoder's weights are kept.

    Expect little. On one core there is time for a hundred steps where the paper takes tens of thousands; so
    the generator starts from principal components (see `raresight.networks.wgan.make_generator`) and what
    is redrawn is not much finer than these. Measured on one grouped half, trained on the other, on which the
    defaults of `top` and `smoothing` were chosen too (so the figures flatter): on the phantom
    ``phantom:brain?n=600&anomalies=0.1&difficulty=0.5`` (278 normal images to train on, 30 anomalies; 41 s of
    one core, no `validation`) an AUROC of .62, .58 with the paper's mean over all pixels, below
    the .70 that a reconstruction should reach there; on brain_tumor_yesno (49 normal images to train on, 78
    tumours) .78, .79 with the paper's mean.

    Source: Schlegl, Seeböck, Waldstein, Langs & Schmidt-Erfurth, "f-AnoGAN: Fast unsupervised anomaly
    detection with generative adversarial networks", Medical Image Analysis 54 (2019), 30–44.

    Parameters
    ----------
    latent : int
        Length of the code.
    width : int
        Feature maps of the generator's last and the critic's first stage.
    steps : int
        Of the generator; the critic takes `critic_steps` for each.
    encoder_steps : int
    critic_steps : int
    penalty : float
        Weight of the gradient penalty.
    kappa : float
        Weight of the feature error.
    batch_size : int
    learning_rate : float
        Of generator and critic: Adam's, with betas (0, 0.9).
    encoder_rate : float
        Of the encoder: Adam's, at first.
    top : float
        Share of the pixels, those furthest off, whose error is averaged; the paper's is 1.
    smoothing : int
        Side of the square, odd, over which errors are averaged before; the paper's is 1.
    device : {"auto", "cpu", "cuda"}
    random_state : int
    """

    def __init__(
        self,
        *,
        latent: int = 128,
        width: int = 16,
        steps: int = 100,
        encoder_steps: int = 400,
        critic_steps: int = 5,
        penalty: float = 10.0,
        kappa: float = 1.0,
        batch_size: int = 16,
        learning_rate: float = 1e-4,
        encoder_rate: float = 1e-3,
        top: float = 0.05,
        smoothing: int = 5,
        device: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.latent = latent
        self.width = width
        self.steps = steps
        self.encoder_steps = encoder_steps
        self.critic_steps = critic_steps
        self.penalty = penalty
        self.kappa = kappa
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.encoder_rate = encoder_rate
        self.top = top
        self.smoothing = smoothing
        self.device = device
        self.random_state = random_state

    def _weights(self) -> tuple[float, float]:
        return 1.0, self.kappa

    def _counts(self) -> tuple[str, ...]:
        return *super()._counts(), "encoder_steps"

    def _check(self) -> None:
        super()._check()
        if self.kappa < 0:
            raise OptionError(f"FAnoGAN: kappa={self.kappa} is negative; choose 0 or more")

    def _invert(
        self, pair: Pair, X: ImageArray, held: ImageArray | None, device: str, seed: int
    ) -> nn.Module:
        some = None if held is None else self._read(held, np.arange(min(len(held), HELD_ROWS)))
        encoder = fit_encoder(
            pair,
            lambda rows: self._read(X, rows),
            len(X),
            some,
            latent=self.latent,
            width=self.width,
            kappa=self.kappa,
            steps=self.encoder_steps,
            batch_size=self.batch_size,
            learning_rate=self.encoder_rate,
            device=device,
            seed=seed,
        )
        return Encoded(encoder, pair.generator)


class AnoGAN(AdversarialDetector):
    """What a WGAN-GP of normal images, searched for the nearest to an image, does not hold.

    For each image a code is sought by gradient steps, from the code 0 on, so that there is no chance in it.
    The score is ``(1 − weight)`` times the mean absolute difference from what the code gives, plus `weight`
    times that of the critic's features; the search goes down the same sum over all pixels. The paper searches
    with 500 steps of Adam from a random code; here a few steps of a set, shrinking length are part of the
    exported graph, their gradient written out (see `raresight.networks.pullback`). `validation` is not looked
    at.

    Expect little, for the reasons that `FAnoGAN` gives. On the half of brain_tumor_yesno described there the
    AUROC was .82, and .81 with the paper's mean over all pixels; on that of the phantom .63 and .60. Scoring
    takes about 0.03 s an image on one core.

    Source: Schlegl, Seeböck, Waldstein, Schmidt-Erfurth & Langs, "Unsupervised anomaly detection with
    generative adversarial networks to guide marker discovery", IPMI 2017.

    Parameters
    ----------
    latent : int
        Length of the code.
    width : int
        Feature maps of the generator's last and the critic's first stage.
    steps : int
        Of the generator; the critic takes `critic_steps` for each.
    critic_steps : int
    penalty : float
        Weight of the gradient penalty.
    search_steps : int
    search_rate : float
        Length of the search's first step in the latent space.
    weight : float
        Of the feature error, 0 … 1: the paper's λ.
    batch_size : int
    learning_rate : float
        Of generator and critic: Adam's, with betas (0, 0.9).
    top : float
        Share of the pixels, those furthest off, whose error is averaged; the paper's is 1.
    smoothing : int
        Side of the square, odd, over which errors are averaged before; the paper's is 1.
    device : {"auto", "cpu", "cuda"}
    random_state : int
    """

    power = 1

    def __init__(
        self,
        *,
        latent: int = 128,
        width: int = 16,
        steps: int = 100,
        critic_steps: int = 5,
        penalty: float = 10.0,
        search_steps: int = 30,
        search_rate: float = 1.0,
        weight: float = 0.1,
        batch_size: int = 16,
        learning_rate: float = 1e-4,
        top: float = 0.05,
        smoothing: int = 5,
        device: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.latent = latent
        self.width = width
        self.steps = steps
        self.critic_steps = critic_steps
        self.penalty = penalty
        self.search_steps = search_steps
        self.search_rate = search_rate
        self.weight = weight
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.top = top
        self.smoothing = smoothing
        self.device = device
        self.random_state = random_state

    def _weights(self) -> tuple[float, float]:
        return 1 - self.weight, self.weight

    def _counts(self) -> tuple[str, ...]:
        return *super()._counts(), "search_steps"

    def _check(self) -> None:
        super()._check()
        if not 0 <= self.weight <= 1:
            raise OptionError(f"AnoGAN: weight={self.weight} must lie between 0 and 1")

    def _invert(
        self, pair: Pair, X: ImageArray, held: ImageArray | None, device: str, seed: int
    ) -> nn.Module:
        return Searched(
            pair.generator,
            pair.critic.features,
            latent=self.latent,
            steps=self.search_steps,
            rate=self.search_rate,
            weight=self.weight,
        )
