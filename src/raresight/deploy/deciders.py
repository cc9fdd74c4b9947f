"""What may decide in place of a threshold, *refer* among its answers: rules that a bundle carries as numbers.

A rule is an object in the list ``deciders`` of ``bundle.json``: ``{"kind": …}`` and its numbers. `DECIDERS`
says how each kind is opened; opened, it looks at one image after the other and gives a decision, or None to
leave it to the next rule and at last to the threshold. It runs with numpy alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from raresight.errors import BundleError
from raresight.registry import Entry, Registry


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known of an image when it is decided about.

    Attributes
    ----------
    score : float
    probability : float
        NaN where there is none.
    threshold : float
    features : (d,) float32 array or None
        What the representation makes of the image, where that is a row of features or their mean.
    pixels : (h, w, c) array
        The preprocessed image.
    """

    score: float
    probability: float
    threshold: float
    features: NDArray[Any] | None
    pixels: NDArray[Any]


class Decider(Protocol):
    """A rule, opened."""

    def measure(self, image: NDArray[Any]) -> Any:
        """Take from an image as it was read, (h, w) or (h, w, 3), what is needed to decide."""
        ...

    def answer(self, seen: Seen, measured: Any) -> tuple[str, str | None] | None:
        """Give ``"anomalous"``, ``"normal"`` or ``"refer"``, and why; or None. `measured`: from `measure`."""
        ...


DECIDERS = Registry(
    "decider",
    {
        "novelty": Entry(
            "raresight.deploy.rules:NoveltyRule",
            "refers what is unlike the training images",
            "Bates et al. 2023",
        ),
        "conformal": Entry(
            "raresight.deploy.rules:ConformalRule",
            "answers where one class alone is plausible, with a guaranteed error rate",
            "Vovk et al. 2005",
        ),
    },
)
"""Kind → what opens a rule of this kind from its numbers."""


def open_deciders(settings: Iterable[Mapping[str, Any]]) -> list[Decider]:
    """Open a bundle's rules.

    Raises
    ------
    BundleError
        If one is of a kind that this raresight does not know: to leave it out would be to decide where the
        bundle's maker did not want to.
    """
    found = []
    for each in settings:
        kind = str(each.get("kind"))
        if kind not in DECIDERS:
            raise BundleError(
                f"the bundle has a rule {kind!r} that is unknown here; install a newer raresight"
            )
        found.append(DECIDERS[kind].load()(each))
    return found
