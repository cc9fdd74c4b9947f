"""What a bundle refers to a person: rules learned from its training images, by name.

``novelty`` or ``novelty=0.02``: what is unlike the training images; at most so large a share of new patients
of the same kind. ``conformal=0.05``: images of which not one class alone is plausible; at most so large a
share of each class's patients is called the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from raresight.deploy.reference import feature_blocks
from raresight.errors import DataError, OptionError
from raresight.evidence.conformal import Conformal
from raresight.experiment.refit import Refit
from raresight.explain.novelty import MARGINS, RATE, Novelty
from raresight.explain.novelty_fit import measured

KINDS = ("novelty", "conformal")


def parse_refer(texts: Sequence[str]) -> dict[str, float]:
    """Read rules: kind → rate.

    Raises
    ------
    OptionError
        If one is unknown, comes twice, or has no rate or one out of range.
    """
    found: dict[str, float] = {}
    for text in texts:
        kind, _, value = str(text).partition("=")
        try:
            rate = RATE if kind == "novelty" and not value else float(value)
        except ValueError:
            rate = float("nan")
        if kind not in KINDS or kind in found or not 0 < rate < 1:
            raise OptionError(
                f"cannot refer by {str(text)!r}; write novelty or conformal=0.05, each once, a rate above 0 "
                "and below 1"
            )
        found[kind] = rate
    return found


def learn_rules(refit: Refit, rates: dict[str, float]) -> list[dict[str, Any]]:
    """Learn a bundle's rules, novelty first: an image of another kind has no plausible class either.

    Parameters
    ----------
    refit : Refit
        Its manifest must still be able to read the images.
    rates : dict
        From `parse_refer`.

    Raises
    ------
    OptionError, DataError
        If there are too few patients for a rate, or a class is missing.
    """
    rules: list[dict[str, Any]] = []
    if "novelty" in rates:
        rules.append({"kind": "novelty", "novelty": _novelty(refit, rates["novelty"]).to_dict()})
    if "conformal" in rates:
        rules.append({"kind": "conformal", "conformal": _conformal(refit, rates["conformal"]).to_dict()})
    return rules


def _novelty(refit: Refit, rate: float) -> Novelty:
    store, rows = refit.store, refit.fitted.rows
    measures = [dict(zip(MARGINS, map(float, each), strict=True)) for each in measured(store)[rows]]
    parts = list(feature_blocks(refit.fitted, store, rows))
    groups = refit.groups[rows]
    least = 1 / (len(np.unique(groups)) + 1)
    return Novelty.fit(measures, np.concatenate(parts) if parts else None, groups, rate=max(rate, least))


def _conformal(refit: Refit, rate: float) -> Conformal:
    inner = refit.inner
    if len(np.unique(inner.label)) < 2:
        raise DataError("conformal answers need scores of both classes, and these images gave one only")
    return Conformal.fit(inner.label, inner.score, refit.groups[inner.rows], rate)
