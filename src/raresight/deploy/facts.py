"""What a bundle says of itself: ``bundle.json``, read and checked with the core install alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from raresight.deploy.probability import METHODS
from raresight.errors import BundleError, OptionError, RaresightError
from raresight.images.preprocess import Preprocess

SCHEMA = 1
"""Raised when an older raresight could no longer read a bundle rightly."""

FACTS = "bundle.json"
DEPTHS: dict[int, np.dtype[Any]] = {8: np.dtype(np.uint8), 16: np.dtype(np.uint16)}
PREPROCESSING = 1
"""The version of `Preprocess` that this raresight has."""


@dataclass(frozen=True, slots=True)
class Explain:
    """How a bundle tells where an image is anomalous.

    Attributes
    ----------
    file : str
        A graph from ``pixels`` (n, h, w, c) to ``heat`` (n, h', w'), higher = more anomalous.
    method : str
        What its heat is, in a few words.
    low, high : float
        Heat to be shown as none and as the most: quantiles of the training images' own.
    """

    file: str
    method: str
    low: float
    high: float


@dataclass(frozen=True)
class Facts:
    """A bundle's settings.

    Attributes
    ----------
    content : dict
        All of ``bundle.json``.
    preprocess : Preprocess
        As in training.
    shape : (int, int, int)
        Of what the graph takes: height, width, channels.
    dtype : dtype
        uint8 or uint16.
    graphs : tuple of str
        Files run one after another, from ``pixels`` (n, *shape) to ``score`` (n,).
    explain : Explain or None
    shift : float
        Added to what the graph gives.
    thresholds : dict of str to float
        Rule → score from which an image is anomalous; ``default`` is among them.
    calibration : dict or None
        See `raresight.deploy.probability.probabilities`.
    deciders : tuple of dict
        See `raresight.deploy.deciders`.
    """

    content: Mapping[str, Any]
    preprocess: Preprocess
    shape: tuple[int, int, int]
    dtype: np.dtype[Any]
    graphs: tuple[str, ...]
    explain: Explain | None
    shift: float
    thresholds: Mapping[str, float]
    calibration: Mapping[str, Any] | None
    deciders: tuple[Mapping[str, Any], ...]

    @property
    def name(self) -> str:
        """The recipe's id."""
        return str(self.content["recipe"]["id"])

    def threshold(self, choice: str | float = "default") -> float:
        """Give the threshold of a rule, or a number as it is.

        Raises
        ------
        OptionError
            If the bundle has no such rule and it is no finite number.
        """
        if isinstance(choice, str) and choice in self.thresholds:
            return self.thresholds[choice]
        try:
            value = float(choice)
        except ValueError:
            value = float("nan")
        if not np.isfinite(value):
            raise OptionError(
                f"this bundle has no threshold {choice!r}; write a number or one of: "
                f"{', '.join(self.thresholds)}"
            )
        return value


def read_facts(folder: Path, files: Mapping[str, bytes]) -> Facts:
    """Read ``bundle.json`` of files that were checked before.

    Raises
    ------
    BundleError
        If there is none, its schema is another, or something in it is missing or cannot be meant.
    """
    if FACTS not in files:
        raise BundleError(f"{folder} is not a bundle: it has no {FACTS}; make one with raresight train")
    try:
        content = json.loads(files[FACTS])
    except ValueError:
        raise BundleError(f"{FACTS} of {folder} is not JSON; make the bundle anew") from None
    _check_schema(folder, content)
    try:
        return _facts(content, files)
    except (KeyError, TypeError, ValueError, AttributeError, RaresightError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise BundleError(f"{FACTS} of {folder} cannot be used: {what}; make the bundle anew") from None


def _check_schema(folder: Path, content: Any) -> None:
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema == SCHEMA:
        return
    if isinstance(schema, int) and schema > SCHEMA:
        raise BundleError(
            f"{folder} has schema {schema}, and this raresight reads {SCHEMA}; install a newer raresight"
        )
    raise BundleError(
        f"{folder} has schema {schema}, and this raresight reads {SCHEMA}; train it anew with raresight train"
    )


def _facts(content: Mapping[str, Any], files: Mapping[str, bytes]) -> Facts:
    taken = content["input"]
    size, channels, dtype = int(taken["size"]), int(taken["channels"]), DEPTHS[taken["bits"]]
    settings = dict(taken["preprocess"])
    if settings.pop("version") != PREPROCESSING:
        raise ValueError("its preprocessing is another version's")
    settings["neutralise"] = tuple(settings.get("neutralise", ()))
    preprocess = Preprocess(**settings)
    if preprocess.size != size or channels not in (1, 3):
        raise ValueError("its input contradicts itself")
    graphs = tuple(map(str, content["graphs"]["score"]))
    told = content["graphs"].get("explain")
    explain = None
    if told is not None:
        explain = Explain(str(told["file"]), str(told["method"]), float(told["low"]), float(told["high"]))
    for name in (*graphs, *([explain.file] if explain else [])):
        if name not in files:
            raise ValueError(f"it names a graph {name} that is not there")
    thresholds = {str(rule): float(value) for rule, value in content["thresholds"].items()}
    if "default" not in thresholds or not np.isfinite(list(thresholds.values())).all():
        raise ValueError("its thresholds are not finite numbers with a default one among them")
    calibration = content["calibration"]
    if calibration is not None and calibration["method"] not in METHODS:
        raise ValueError(f"its calibration {calibration['method']} is unknown")
    str(content["recipe"]["id"])
    return Facts(
        content,
        preprocess,
        (size, size, channels),
        dtype,
        graphs,
        explain,
        float(content["score_shift"]),
        thresholds,
        calibration,
        tuple(content.get("deciders", ())),
    )
