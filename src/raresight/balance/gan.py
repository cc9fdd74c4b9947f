"""GAN augmentation: images of the rare class drawn by a conditional WGAN-GP, when they are asked for."""

from __future__ import annotations

import numbers
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from torch import nn

from raresight.balance.base import PlanSampler
from raresight.balance.latent import as_images
from raresight.balance.laws import Parents
from raresight.balance.neighbours import Gram
from raresight.balance.plan import SynthesisPlan
from raresight.errors import DataError
from raresight.networks.autoencoder import resized
from raresight.networks.pixels import FULL_SCALE, Pixels
from raresight.networks.rows import read_block
from raresight.networks.training import find_device
from raresight.networks.wgan import SIDE, AdversarialSettings, fit_pair

Array = NDArray[Any]
Rows = NDArray[np.int64]
_COUNT = [Interval(numbers.Integral, 1, None, closed="left")]


@dataclass(frozen=True, slots=True, eq=False)
class Generated:
    """The law of GAN augmentation: the generator's picture of a class and a code that the row's seed gives.

    The base is a row of that class drawn at random, named as both parents; the image owes no more to it than
    to any other. It takes height, width and dtype of the images that the plan is read with.

    Attributes
    ----------
    generator : torch.nn.Module
        (n, latent + classes) → (n, channels, 64, 64), −1 to 1; in evaluation mode.
    classes : (n, classes) float32 array
        Of the training rows, one-hot.
    latent : int
        Length of a code.
    dtype : dtype
        Of the images that the generator was trained on.
    channels : int
    """

    generator: nn.Module
    classes: NDArray[np.float32]
    latent: int
    dtype: np.dtype[Any]
    channels: int

    def write(self, X: Array, parents: Parents, index: Any, out: Array) -> None:
        """Draw the rows to `out`.

        Raises
        ------
        DataError
            If X is not the kind of images that the generator was trained on.
        """
        like = out[..., None] if out.ndim == 3 else out
        if len(X) != len(self.classes) or out.dtype != self.dtype or like.shape[3:] != (self.channels,):
            raise DataError(
                f"the plan was made for {len(self.classes)} {self.dtype} images of {self.channels} "
                f"channel(s), not for {X.dtype} rows {X.shape}; give it the images that it was made for"
            )
        if parents.seed is None:
            raise ValueError("the law of GAN augmentation needs a seed for each row")
        if not len(out):
            return
        code = np.stack([_code(seed, self.latent) for seed in parents.seed])
        with torch.inference_mode():
            planes = self.generator(torch.from_numpy(np.hstack([code, self.classes[parents.base]])))
        full = FULL_SCALE[self.dtype]
        drawn = ((planes.permute(0, 2, 3, 1) + 1) * (full / 2)).round().clamp(0, full)
        out[...] = resized(drawn.numpy().astype(self.dtype), *like.shape[1:3]).reshape(out.shape)

    def rows(self) -> list[Rows]:
        """Give every training row as a further parent: the generator learned from all, of either class."""
        return [np.arange(len(self.classes))]

    def take(self, index: Any) -> Generated:
        """Give the same law."""
        return self

    def settings(self) -> dict[str, Any]:
        """Give the name: a plan's file keeps the provenance, not the generator."""
        return {"name": "generated"}

    def columns(self) -> dict[str, Array]:
        """Give nothing."""
        return {}


def _code(seed: int, latent: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(latent, np.float32)


class GAN(PlanSampler):
    """GAN augmentation: images drawn by a WGAN-GP that was trained on the same training images.

    Generator and critic are told the class (a one-hot entry beside the code; projection in the critic), so
    that what the frequent class teaches of anatomy serves the rare one; batches hold each class equally
    often. The images are drawn at 64 × 64 pixels and enlarged. The generator starts from the classes' means
    and principal components (see `raresight.networks.wgan.make_generator`).

    Expect little. With the defaults the pair trains for one or two minutes on one core, hundreds of steps
    where published GANs take hundreds of thousands: the images are rough, and a lesion on them is a matter of
    luck. From two rare rows on it works, but then the critic knows those two by heart, and what is drawn of
    the class varies as the frequent class does around the mean of the two: with few rare rows
    no knowledge of the rare class is won that copies (``random-over``) do not have.

    Source: Gulrajani et al., "Improved training of Wasserstein GANs", NeurIPS 2017, and Miyato & Koyama,
    "cGANs with projection discriminator", ICLR 2018; as augmentation Frid-Adar et al., "GAN-based synthetic
    medical image augmentation for increased CNN performance in liver lesion classification", Neurocomputing
    321 (2018), 321–331.

    Parameters
    ----------
    sampling_strategy : float, str, dict or callable
        As in imbalanced-learn.
    random_state : int, RandomState or None
        Of the training and the codes.
    latent : int
        Length of the code.
    width : int
        Feature maps of the generator's last and the critic's first stage.
    steps : int
        Of the generator; the critic takes `critic_steps` for each.
    critic_steps : int
    penalty : float
        Weight of the gradient penalty.
    learning_rate : float
        Adam's, with betas (0, 0.9).
    device : {"auto", "cpu", "cuda"}

    Attributes
    ----------
    pair_ : Pair
        The trained generator and critic; ``pair_.restarts`` says how often training diverged before.
    """

    images = True
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **PlanSampler._parameter_constraints,
        **dict.fromkeys(("latent", "width", "steps", "critic_steps"), _COUNT),
        "penalty": [Interval(numbers.Real, 0, None, closed="left")],
        "learning_rate": [Interval(numbers.Real, 0, None, closed="neither")],
        "device": [StrOptions({"auto", "cpu", "cuda"})],
    }

    def __init__(
        self,
        *,
        sampling_strategy: Any = "auto",
        random_state: Any = None,
        latent: int = 64,
        width: int = 16,
        steps: int = 150,
        critic_steps: int = 5,
        penalty: float = 10.0,
        learning_rate: float = 1e-4,
        device: str = "auto",
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy, random_state=random_state)
        self.latent = latent
        self.width = width
        self.steps = steps
        self.critic_steps = critic_steps
        self.penalty = penalty
        self.learning_rate = learning_rate
        self.device = device

    def _plan(self, Z: Array, y: Array, groups: Array | None, gram: Gram | None) -> SynthesisPlan:
        images = as_images(Z, type(self).__name__)
        random = check_random_state(self.random_state)
        training_seed = int(random.randint(2**31 - 1))
        names, which = np.unique(y, return_inverse=True)
        base, labels = self._bases(y, random)
        plan = SynthesisPlan(
            base=base,
            partner=base,
            step=np.zeros(len(base), np.float32),
            label=labels,
            keep=np.arange(len(y)),
            seed=random.randint(2**31 - 1, size=len(base)).astype(np.int64),
            groups=groups,
        )
        if not len(plan):
            return plan
        generator = self._train(images, which, training_seed)
        one_hot = np.eye(len(names), dtype=np.float32)[which]
        law = Generated(generator, one_hot, self.latent, images.dtype, images.shape[3])
        return replace(plan, law=law)

    def _bases(self, y: Array, random: np.random.RandomState) -> tuple[Rows, Array]:
        """Draw a row of its class for each image that is wanted."""
        base: list[Rows] = [np.empty(0, np.int64)]
        for label, count in self.sampling_strategy_.items():
            members = np.flatnonzero(y == label)
            if count and len(members) < 2:
                raise DataError(
                    f"GAN needs two rows of class {label} to learn what it looks like, there is "
                    f"{len(members)}; balance with random-over"
                )
            base.append(random.choice(members, count).astype(np.int64))
        rows = np.concatenate(base)
        return rows, y[rows]

    def _train(self, images: Array, which: Rows, seed: int) -> nn.Module:
        """Train the pair on images reduced to 64 × 64."""
        small = np.empty((len(images), SIDE, SIDE, images.shape[3]), images.dtype)
        for row in range(len(images)):
            small[row] = resized(images[row : row + 1], SIDE, SIDE)[0]
        pixels = Pixels(images.dtype)
        settings = AdversarialSettings(
            latent=self.latent,
            width=self.width,
            steps=self.steps,
            critic_steps=self.critic_steps,
            penalty=self.penalty,
            learning_rate=self.learning_rate,
        )
        self.pair_ = fit_pair(
            lambda rows: pixels(read_block(small, rows)) * 2 - 1,
            which,
            settings,
            device=find_device(self.device),
            seed=seed,
        )
        return self.pair_.generator
