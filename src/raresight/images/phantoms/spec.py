"""What a user can ask of a phantom: ``phantom:KIND?parameter=value&…``."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any

from raresight.errors import OptionError

PREFIX = "phantom:"
KINDS = ("brain", "fundus")
RANGES: dict[str, tuple[float, float]] = {
    "n": (2, 100_000),
    "anomalies": (0, 1),
    "difficulty": (0, 1),
    "seed": (0, 2**32 - 1),
    "size": (64, 1024),
    "slices": (1, 32),
    "missing": (0, 0.9),
}
"""Each parameter's least and greatest value."""

MOST_EYES = 2

MODALITIES = ("t1", "t2", "flair")
"""The contrasts in which a brain can be shown."""


@dataclass(frozen=True, slots=True)
class PhantomSpec:
    """One phantom image set, fully described.

    Attributes
    ----------
    kind : {"brain", "fundus"}
    n : int
        Images, 2 to 100,000.
    anomalies : float
        Share of anomalous images, 0 to 1; exactly ``round(n * anomalies)`` of them are made.
    difficulty : float
        0 (large, full contrast) to 1 (3 % of the side, 5 % contrast); see `lesions.sizes`.
    seed : int
        0 to 2³² − 1.
    size : int
        Side in pixels, 64 to 1024.
    slices : int or None
        Images a patient, 1 to 32. None: 4 slices of a brain, one or both eyes of a fundus set (which
        has at most 2 images a patient).
    modalities : tuple of str
        Of `MODALITIES`, the images that a case of a brain set has; empty: one, T1-weighted. Then there also
        is a column ``marker``, which tells the label in part.
    missing : float
        Share of images and markers, 0 to 0.9, that cases lack at random; each keeps one image at least.
    """

    kind: str
    n: int = 600
    anomalies: float = 0.1
    difficulty: float = 0.5
    seed: int = 0
    size: int = 224
    slices: int | None = None
    modalities: tuple[str, ...] = ()
    missing: float = 0.0

    @property
    def text(self) -> str:
        """The specification in full, defaults included."""
        settings = {k: v for k, v in asdict(self).items() if k != "kind" and v is not None}
        several = settings.pop("modalities"), settings.pop("missing")
        text = f"{PREFIX}{self.kind}?" + "&".join(f"{k}={v!r}" for k, v in settings.items())
        return f"{text}&modalities={','.join(several[0])}&missing={several[1]!r}" if several[0] else text


def parse_spec(text: str) -> PhantomSpec:
    """Read ``phantom:brain`` or ``phantom:fundus?n=600&difficulty=0.5``.

    Raises
    ------
    OptionError
        If the kind or a parameter is unknown, given twice, not a number or out of its range.
    """
    if not text.startswith(PREFIX):
        raise OptionError(f"{text!r} is not a phantom; write phantom:brain or phantom:fundus")
    kind, _, query = text.removeprefix(PREFIX).partition("?")
    if kind not in KINDS:
        raise OptionError(f"unknown phantom {kind!r} in {text!r}; there are: {', '.join(KINDS)}")
    given: dict[str, Any] = {}
    for part in filter(None, query.split("&")):
        name, _, value = part.partition("=")
        if name in given:
            raise OptionError(f"{name} stands twice in {text!r}; give it once")
        given[name] = _modalities(value, text) if name == "modalities" else _number(name, value, text)
    if given.keys() & {"modalities", "missing"} and (kind != "brain" or "modalities" not in given):
        raise OptionError(
            f"{text!r} cannot be used: modalities goes with phantom:brain, and missing with modalities"
        )
    if kind == "fundus" and given.get("slices", 1) > MOST_EYES:
        raise OptionError(f"slices={given['slices']} in {text!r} is too many; a patient has at most 2 eyes")
    return PhantomSpec(kind, **given)


def _modalities(value: str, text: str) -> tuple[str, ...]:
    names = tuple(value.split(","))
    if not set(names) <= set(MODALITIES) or len(set(names)) < len(names):
        raise OptionError(
            f"modalities={value} in {text!r} cannot be used; give some of {','.join(MODALITIES)}, each once"
        )
    return names


def _number(name: str, value: str, text: str) -> float:
    if name not in RANGES:
        there = [*RANGES, "modalities"]
        near = get_close_matches(name, there, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(there)}"
        raise OptionError(f"unknown phantom parameter {name!r} in {text!r}; {hint}")
    low, high = RANGES[name]
    whole = name not in ("anomalies", "difficulty", "missing")
    try:
        number: float = int(value) if whole else float(value)
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        kind = "a whole number" if whole else "a number"
        raise OptionError(f"{name}={value} in {text!r} cannot be used; give {kind} from {low} to {high}")
    return number
