"""SMOTE in an autoencoder's latent space; the images are drawn by its decoder, when they are asked for."""

from __future__ import annotations

import numbers
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from raresight.balance.base import PlanSampler
from raresight.balance.laws import Parents, blend
from raresight.balance.neighbours import Gram
from raresight.balance.plan import SynthesisPlan
from raresight.balance.smote import SMOTE
from raresight.errors import DataError, OptionError
from raresight.networks.autoencoder import ImageCodec, fit_autoencoder

Array = NDArray[Any]
_COUNT = [Interval(numbers.Integral, 1, None, closed="left")]


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """The latent samplers' law: the decoder's picture of ``code[base] + step (code[partner] − code[base])``.

    The image is not on the segment between its parents' pixels, and at step 0 it is the base's
    reconstruction, not the base. It takes height, width and dtype of the images that the plan is read with.

    Attributes
    ----------
    codec : ImageCodec
        Draws codes.
    codes : (n, latent) float32 array
        The training rows in the latent space.
    """

    codec: ImageCodec
    codes: NDArray[np.float32]

    def write(self, X: Array, parents: Parents, index: Any, out: Array) -> None:
        """Decode the rows to `out`.

        Raises
        ------
        DataError
            If X is not the kind of images that the codec was trained on.
        """
        codec, codes = self.codec, np.empty((len(out), self.codes.shape[1]), np.float32)
        like = out[..., None] if out.ndim == 3 else out
        if len(X) != len(self.codes) or out.dtype != codec.dtype or like.shape[3:] != (codec.channels,):
            raise DataError(
                f"the plan was made for {len(self.codes)} {codec.dtype} images of {codec.channels} "
                f"channel(s), not for {X.dtype} rows {X.shape}; give it the images that it was made for"
            )
        blend(self.codes, parents.base, parents.partner, parents.step, codes)
        out[...] = codec.decode(codes, *like.shape[1:3]).reshape(out.shape)

    def rows(self) -> list[NDArray[np.int64]]:
        """Give no further parents."""
        return []

    def take(self, index: Any) -> Decoded:
        """Give the same law."""
        return self

    def settings(self) -> dict[str, Any]:
        """Give the name: a plan's file keeps the provenance, not the decoder."""
        return {"name": "decoded"}

    def columns(self) -> dict[str, Array]:
        """Give nothing."""
        return {}


class LatentSMOTE(PlanSampler):
    """SMOTE between the codes of an autoencoder that was trained on the same training images.

    Neighbours are sought and rows are blended in the latent space; the decoder gives the images, each time a
    batch is read. The autoencoder sees every training row, of either class, at 64 × 64 pixels, and the images
    are enlarged to the size asked for: they are blurred, and no finer than that.

    With the defaults it trains for about half a minute on one core, whatever the number of images, and again
    for every fold. Source: Chawla et al. 2002 for the sampling; the networks follow Radford, Metz & Chintala,
    "Unsupervised Representation Learning with DCGANs", ICLR 2016, beside principal components.

    Parameters
    ----------
    sampling_strategy : float, str, dict or callable
        As in imbalanced-learn.
    random_state : int, RandomState or None
        Of the training, the neighbours drawn and the steps.
    k_neighbors : int
        Neighbours to choose a partner from.
    partners : {"any", "other-group", "same-group"}
        Whether an image may be blended with its own group's (patient's) images.
    latent : int
        Length of the code.
    width : int
        Feature maps of the autoencoder's first stage.
    steps : int
        Batches of 16 images to train on, about.
    device : {"auto", "cpu", "cuda"}

    Attributes
    ----------
    codec_ : ImageCodec
        The trained autoencoder.
    """

    images = True
    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **PlanSampler._parameter_constraints,
        **dict.fromkeys(("k_neighbors", "latent", "width", "steps"), _COUNT),
        "partners": [StrOptions({"any", "other-group", "same-group"})],
        "device": [StrOptions({"auto", "cpu", "cuda"})],
    }

    def __init__(
        self,
        *,
        sampling_strategy: Any = "auto",
        random_state: Any = None,
        k_neighbors: int = 5,
        partners: str = "any",
        latent: int = 128,
        width: int = 16,
        steps: int = 600,
        device: str = "auto",
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy, random_state=random_state)
        self.k_neighbors = k_neighbors
        self.partners = partners
        self.latent = latent
        self.width = width
        self.steps = steps
        self.device = device

    def fit_codec(self, images: Array, y: Array) -> ImageCodec:
        """Train the autoencoder.

        Parameters
        ----------
        images : (n, height, width[, channels]) uint8 or uint16 array
        y : (n,) array
            Their classes.
        """
        self.codec_ = self._train(as_images(images, type(self).__name__), y, _seed(self.random_state))
        return self.codec_

    def _train(self, images: Array, y: Array, seed: int) -> ImageCodec:
        return fit_autoencoder(
            images, y, latent=self.latent, width=self.width, steps=self.steps, device=self.device, seed=seed
        )

    def _plan(self, Z: Array, y: Array, groups: Array | None, gram: Gram | None) -> SynthesisPlan:
        images = as_images(Z, type(self).__name__)
        smote = SMOTE(
            sampling_strategy=self.sampling_strategy,
            random_state=self.random_state,
            k_neighbors=self.k_neighbors,
            partners=self.partners,
        )
        # Too few rows, or a wrong option, should not cost a training first.
        smote.plan(np.arange(len(y), dtype=np.float32)[:, None], y, groups=groups)
        codec = self.fit_codec(images, y)
        codes = codec.encode(images)
        return decoded(smote.plan(codes, y, groups=groups), codec, codes)


def decoded(plan: SynthesisPlan, codec: ImageCodec, codes: NDArray[np.float32]) -> SynthesisPlan:
    """Blend a plan's rows in a codec's latent space, wherever its neighbours were sought.

    Parameters
    ----------
    plan : SynthesisPlan
        Of a sampler that blends along the segment.
    codec : ImageCodec
    codes : (n, latent) float32 array
        Of the rows that the plan was made for.

    Raises
    ------
    OptionError
        If the plan's rows come of their parents in another way.
    """
    if plan.law is not None:
        raise OptionError("this sampler's rows do not lie between two parents; leave out blend=latent")
    return replace(plan, law=Decoded(codec, codes))


def as_images(X: Array, who: str) -> Array:
    """See X as (n, height, width, channels) images.

    Raises
    ------
    DataError
        If it isn't any.
    """
    images = X[..., None] if X.ndim == 3 else X
    if images.ndim != 4 or images.shape[3] not in (1, 3) or images.dtype not in (np.uint8, np.uint16):
        raise DataError(
            f"{who} works on uint8 or uint16 images (n, height, width[, 1 or 3]), not on {X.dtype} rows "
            f"of shape {X.shape[1:]}; choose a network or --representation pixels, or balance with smote"
        )
    return images


def _seed(random_state: Any) -> int:
    if isinstance(random_state, int | np.integer):
        return int(random_state) % 2**31
    return int(check_random_state(random_state).randint(2**31 - 1))
