"""The rules that a bundle may decide by: is an image like those of training, and which classes are plausible.

With numpy alone. `raresight.deploy.deciders` names them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from raresight.deploy.deciders import Seen
from raresight.evidence.conformal import Conformal
from raresight.explain.novelty import FAR, Novelty
from raresight.explain.quality import measure_image


class NoveltyRule:
    """Refer what is unlike the training images.

    Parameters
    ----------
    settings : mapping
        ``novelty``, see `raresight.explain.novelty.Novelty.to_dict`.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.novelty = Novelty.from_dict(settings["novelty"])

    def measure(self, image: NDArray[Any]) -> dict[str, float]:
        """Measure an image as it was read."""
        return measure_image(image)

    def answer(self, seen: Seen, measured: Any) -> tuple[str, str | None] | None:
        """Refer it where something about it is unlike the training images."""
        reasons = self.novelty.reasons_measured(measured)
        known = self.novelty.reference is not None and seen.features is not None
        if known and self.novelty.distance(seen.features[None])[0] > self.novelty.cut:  # type: ignore[index]
            reasons.append(FAR)
        return ("refer", f"the image is {'; '.join(reasons)}") if reasons else None


class ConformalRule:
    """Answer where one class alone is plausible, and refer otherwise; the threshold has no say.

    Parameters
    ----------
    settings : mapping
        ``conformal``, see `raresight.evidence.conformal.Conformal.to_dict`.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self.conformal = Conformal.from_dict(settings["conformal"])

    def measure(self, image: NDArray[Any]) -> None:
        """Take nothing: a score is all that it needs."""

    def answer(self, seen: Seen, measured: Any) -> tuple[str, str | None]:
        """Give the plausible class, or refer."""
        (decision,) = self.conformal.decide([seen.score])
        return str(decision), self.conformal.reason(seen.score)
