"""DeepSMOTE: latent SMOTE whose autoencoder is also trained to decode class-mates' codes."""

from __future__ import annotations

from typing import Any, ClassVar

from numpy.typing import NDArray
from sklearn.utils._param_validation import StrOptions

from raresight.balance.latent import LatentSMOTE
from raresight.networks.autoencoder import ImageCodec, Penalty, fit_autoencoder

Array = NDArray[Any]


class DeepSMOTE(LatentSMOTE):
    """SMOTE in the latent space of an autoencoder trained with a permutation penalty.

    Every training batch is followed by images of one class, each class as likely as any other: they are
    encoded, their codes permuted by one place, and decoded. Two forms of the penalty exist:

    ``penalty="published-code"`` (default): the decoded images are held against the images in the *same*
        new order, and the codes are detached first, so that the penalty trains the decoder alone. It amounts
        to a second reconstruction loss in which a rare class weighs as much as a frequent one. The paper's
        pictures come from this code.
    ``penalty="paper"``: as the paper's algorithm 1 has it, the decoded images are held against the images in
        their *old* order, and the penalty trains encoder and decoder. Every code is thus asked for its own
        image and for a class-mate's, whose compromise lies half-way to the class's mean: images differ less
        from each other and are blurrier still.

    Training batches are of 16 images and at most 16 class-mates (100 and 100 in the published code), the
    images 64 × 64, the networks a quarter as wide, with principal components beside them (see
    `raresight.networks.autoencoder.Autoencoder`; the components are not touched by the penalty). With the
    defaults it trains for about a minute on one core, and again for every fold.

    Source: Dablain, Krawczyk & Chawla, "DeepSMOTE: Fusing Deep Learning and SMOTE for Imbalanced Data", IEEE
    TNNLS 34 (2023), 6390–6404, and its code, github.com/dd1github/DeepSMOTE.

    Parameters
    ----------
    penalty : {"published-code", "paper"}
    sampling_strategy, random_state, k_neighbors, partners, latent, width, steps, device
        See `LatentSMOTE`.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **LatentSMOTE._parameter_constraints,
        "penalty": [StrOptions({"published-code", "paper"})],
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
        penalty: Penalty = "published-code",
    ) -> None:
        super().__init__(
            sampling_strategy=sampling_strategy,
            random_state=random_state,
            k_neighbors=k_neighbors,
            partners=partners,
            latent=latent,
            width=width,
            steps=steps,
            device=device,
        )
        self.penalty = penalty

    def _train(self, images: Array, y: Array, seed: int) -> ImageCodec:
        return fit_autoencoder(
            images,
            y,
            penalty=self.penalty,
            latent=self.latent,
            width=self.width,
            steps=self.steps,
            device=self.device,
            seed=seed,
        )
