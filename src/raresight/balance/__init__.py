"""What is done about imbalance: samplers behind one synthesis plan, costs, threshold rules."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from raresight.registry import Entry, Registry

_SMOTE = "raresight.balance.smote"

SAMPLERS = Registry(
    "sampler",
    {
        "none": Entry(f"{_SMOTE}:NoSampler", "the baseline: training rows as they are"),
        "random-over": Entry(f"{_SMOTE}:RandomOverSampler", "rows of the rare class again"),
        "smote": Entry(f"{_SMOTE}:SMOTE", "between a rare row and its neighbours", "Chawla et al. 2002"),
    },
)

_CLASSES = {
    "SMOTE": _SMOTE,
    "RandomOverSampler": _SMOTE,
    "SynthesisPlan": "raresight.balance.plan",
}
__all__ = ["SAMPLERS", *_CLASSES]


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        return getattr(import_module(_CLASSES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
