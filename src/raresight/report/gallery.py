"""The worst mistakes: the images that the best-ranking recipe got wrong with most confidence."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from raresight.errors import RaresightError
from raresight.evidence.estimates import Thresholds
from raresight.evidence.metrics import flag
from raresight.report.source import Reported

SIDE = 176
EACH = 6
"""Missed anomalies, and as many false alarms."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One image and what was said of it.

    Attributes
    ----------
    file : str
    score, threshold : float
        Of the fold that the image was tested in.
    wrong, recipes : int
        How many of the recipes got it wrong (in the same repeat), and how many there are.
    picture : str
        A data URI.
    """

    file: str
    score: float
    threshold: float
    wrong: int
    recipes: int
    picture: str


@dataclass(frozen=True, slots=True)
class Gallery:
    """The recipe's mistakes at its default threshold, most confident first, and how many there are in all."""

    recipe: str
    missed: list[Mistake]
    alarms: list[Mistake]
    missed_in_all: int
    alarms_in_all: int


def gallery(run: Reported, recipe: str) -> Gallery | None:
    """Collect a recipe's worst mistakes; None when the pixels are gone.

    Confidence is the distance from the fold's threshold in standard deviations of that fold's scores, so
    that folds can be compared. An image that several repeats got wrong is shown once, at its worst.
    """
    table = judged(run.predictions, run.thresholds)
    mine = table[table["recipe"] == recipe]
    wrong = mine[mine["wrong"]].sort_values(["margin", "row"], ascending=[False, True], kind="stable")
    wrong = wrong.drop_duplicates("row")
    others = table.groupby(["repeat", "row"])["wrong"].agg(["sum", "size"])
    missed, alarms = (wrong[wrong["label"] == label] for label in (1, 0))
    try:
        shown = [[_mistake(run, row, others) for row in _first(part)] for part in (missed, alarms)]
    except RaresightError:
        return None
    return Gallery(recipe, shown[0], shown[1], len(missed), len(alarms))


def judged(predictions: pd.DataFrame, thresholds: Thresholds) -> pd.DataFrame:
    """Add ``threshold``, ``wrong`` and ``margin`` (see `gallery`) to the predictions, at the default rule."""
    parts = []
    for key, part in predictions.groupby(["recipe", "repeat", "fold"], sort=False):
        recipe, repeat, fold = cast(tuple[str, int, int], key)
        cut = thresholds[recipe, repeat, fold]["default"]
        distance = np.abs(part["score"] - cut)
        spread = float(part["score"].std(ddof=0)) or 1.0
        mistaken = flag(part["score"], cut) != (part["label"] == 1)
        parts.append(part.assign(threshold=cut, wrong=mistaken, margin=distance / spread))
    return pd.concat(parts)


def _first(part: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in part.head(EACH).to_dict("records")]


def _mistake(run: Reported, row: dict[str, Any], others: pd.DataFrame) -> Mistake:
    tally = others.loc[(row["repeat"], row["row"])]
    return Mistake(
        str(row["file"]),
        float(row["score"]),
        float(row["threshold"]),
        int(tally["sum"]),
        int(tally["size"]),
        picture_uri(run.image(int(row["row"]))),
    )


def picture_uri(pixels: NDArray[np.uint8], side: int = SIDE) -> str:
    """Make a small JPEG of an image, as a data URI.

    Parameters
    ----------
    pixels : (h, w) or (h, w, 3) uint8 array
    side : int
        The longer side's largest length.
    """
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=84, optimize=True)
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode()
