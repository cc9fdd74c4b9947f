"""The autoencoders of the registry; what they share is in `raresight.detect.reconstruction`."""

from __future__ import annotations

from torch import Tensor

from raresight.detect.reconstruction import CodeDetector, ReconstructionDetector
from raresight.networks.reconstruction import (
    ContextEncoding,
    ContextVariational,
    Denoising,
    Redrawing,
    Variational,
)
from raresight.networks.redrawers import Denoiser


class ConvolutionalAutoencoder(CodeDetector):
    """A plain autoencoder with a dense code.

    Source: Baur, Denner, Wiestler, Navab & Albarqouni, "Autoencoders for unsupervised anomaly segmentation in
    brain MR images: a comparative study", Medical Image Analysis 2021.

    Parameters
    ----------
    pixels, width, score, top, epochs, patience, batch_size, learning_rate, weight_decay, \
validation_fraction, device, random_state
        See `raresight.detect.reconstruction.ReconstructionDetector`.
    latent : int
        See `raresight.detect.reconstruction.CodeDetector`.
    """

    def __init__(
        self,
        *,
        pixels: int = 56,
        width: int = 32,
        latent: int = 128,
        score: str = "ssim",
        top: float = 0.02,
        epochs: int = 40,
        patience: int = 15,
        batch_size: int = 16,
        learning_rate: float = 5e-3,
        weight_decay: float = 1e-4,
        validation_fraction: float = 0.15,
        device: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.pixels = pixels
        self.width = width
        self.latent = latent
        self.score = score
        self.top = top
        self.epochs = epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state

    def _body(self, mean: Tensor) -> Redrawing:
        return Redrawing(self._autoencoder(mean), self.score)


class VariationalAutoencoder(CodeDetector):
    """A variational autoencoder; at test the mean of the code is redrawn.

    Source: Kingma & Welling, "Auto-encoding variational Bayes", ICLR 2014; for images of the brain Baur et
    al., Medical Image Analysis 2021, and Zimmerer et al., "Unsupervised anomaly localization using
    variational auto-encoders", MICCAI 2019.

    Parameters
    ----------
    pixels, width, score, top, epochs, patience, batch_size, learning_rate, weight_decay, \
validation_fraction, device, random_state
        See `raresight.detect.reconstruction.ReconstructionDetector`.
    latent : int
        See `raresight.detect.reconstruction.CodeDetector`.
    beta : float
        Weight of the divergence from the standard normal distribution.
    """

    def __init__(
        self,
        *,
        pixels: int = 56,
        width: int = 32,
        latent: int = 128,
        beta: float = 0.01,
        score: str = "ssim",
        top: float = 0.02,
        epochs: int = 40,
        patience: int = 15,
        batch_size: int = 16,
        learning_rate: float = 5e-3,
        weight_decay: float = 1e-4,
        validation_fraction: float = 0.15,
        device: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.pixels = pixels
        self.width = width
        self.latent = latent
        self.beta = beta
        self.score = score
        self.top = top
        self.epochs = epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state

    def _body(self, mean: Tensor) -> Redrawing:
        return Variational(self._autoencoder(mean), self.score, self.beta)


class DenoisingAutoencoder(ReconstructionDetector):
    """A U-Net that takes coarse noise off normal images, and lesions with it.

    Source: Kascenas, Pugeault & O'Neil, "Denoising autoencoders for unsupervised anomaly detection in brain
    MRI", MIDL 2022.

    Parameters
    ----------
    pixels, width, score, top, epochs, patience, batch_size, learning_rate, weight_decay, \
validation_fraction, device, random_state
        See `raresight.detect.reconstruction.ReconstructionDetector`.
    noise : float
        Deviation of the noise, of grey values of 0 to 1.
    """

    def __init__(
        self,
        *,
        pixels: int = 56,
        width: int = 24,
        noise: float = 0.2,
        score: str = "ssim",
        top: float = 0.02,
        epochs: int = 40,
        patience: int = 15,
        batch_size: int = 16,
        learning_rate: float = 5e-3,
        weight_decay: float = 1e-4,
        validation_fraction: float = 0.15,
        device: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.pixels = pixels
        self.width = width
        self.noise = noise
        self.score = score
        self.top = top
        self.epochs = epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state

    def _body(self, mean: Tensor) -> Redrawing:
        return Denoising(Denoiser(len(mean), self.width), self.score, self.noise)


class ContextAutoencoder(CodeDetector):
    """A context encoder: an autoencoder that fills in overwritten squares.

    Source: Zimmerer, Kohl, Petersen, Isensee & Maier-Hein, "Context-encoding variational autoencoder for
    unsupervised anomaly detection", arXiv 1812.05941 (2018), whose CE it is; Pathak et al., CVPR 2016.

    Parameters
    ----------
    pixels, width, score, top, epochs, patience, batch_size, learning_rate, weight_decay, \
validation_fraction, device, random_state
        See `raresight.detect.reconstruction.ReconstructionDetector`.
    latent : int
        See `raresight.detect.reconstruction.CodeDetector`.
    """

    def __init__(
        self,
        *,
        pixels: int = 56,
        width: int = 32,
        latent: int = 128,
        score: str = "ssim",
        top: float = 0.02,
        epochs: int = 40,
        patience: int = 15,
        batch_size: int = 16,
        learning_rate: float = 5e-3,
        weight_decay: float = 1e-4,
        validation_fraction: float = 0.15,
        device: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.pixels = pixels
        self.width = width
        self.latent = latent
        self.score = score
        self.top = top
        self.epochs = epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state

    def _body(self, mean: Tensor) -> Redrawing:
        return ContextEncoding(self._autoencoder(mean), self.score)


class ContextVariationalAutoencoder(CodeDetector):
    """A variational autoencoder and a context encoder in one; errors are weighed by a gradient.

    A pixel's score is its error times the size of the gradient, with respect to it, of the squared error plus
    `beta` times the code's divergence; the exported graph holds that gradient's backward pass.
    Source: Zimmerer, Kohl, Petersen, Isensee & Maier-Hein, "Context-encoding variational autoencoder for
    unsupervised anomaly detection", arXiv 1812.05941 (2018).

    Parameters
    ----------
    pixels, width, score, top, epochs, patience, batch_size, learning_rate, weight_decay, \
validation_fraction, device, random_state
        See `raresight.detect.reconstruction.ReconstructionDetector`.
    latent : int
        See `raresight.detect.reconstruction.CodeDetector`.
    beta : float
        Weight of the divergence from the standard normal distribution.
    """

    def __init__(
        self,
        *,
        pixels: int = 56,
        width: int = 32,
        latent: int = 128,
        beta: float = 0.01,
        score: str = "ssim",
        top: float = 0.02,
        epochs: int = 40,
        patience: int = 15,
        batch_size: int = 16,
        learning_rate: float = 5e-3,
        weight_decay: float = 1e-4,
        validation_fraction: float = 0.15,
        device: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.pixels = pixels
        self.width = width
        self.latent = latent
        self.beta = beta
        self.score = score
        self.top = top
        self.epochs = epochs
        self.patience = patience
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.device = device
        self.random_state = random_state

    def _body(self, mean: Tensor) -> Redrawing:
        return ContextVariational(self._autoencoder(mean), self.score, self.beta)
