"""How a served detector did, by the labels that were sent for its answers.

Only labelled images count, and who labels chooses: findings that were checked, answers that looked odd. The
figures are those of a study only where every image, or a random part of them, was labelled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from raresight.deploy.feedback import read_rows
from raresight.errors import DataError
from raresight.evidence.estimates import RecipeRows, weigh_rows

METRICS = ("accuracy", "sensitivity", "specificity", "ppv", "npv", "balanced_accuracy", "auroc", "brier")

SELECTION = (
    "These are the images that someone labelled, not a sample of all: where odd or positive answers are "
    "labelled more often, every figure is off."
)

INDEPENDENT = (
    "Each image counts as independent; with several images of a patient the intervals are too narrow."
)


def read_feedback(path: Path | str) -> pd.DataFrame:
    """Read the labelled answers of a service.

    Parameters
    ----------
    path : path
        ``feedback.sqlite`` in the folder of its ``--state``.

    Returns
    -------
    pandas.DataFrame
        One row an image: ``recipe`` (the bundle's hash), ``row`` (its id), ``label`` (1 = anomalous),
        ``score``, ``probability``, ``decision``, ``threshold``, ``at`` and ``labelled_at`` (seconds since
        1970), as `raresight.judge` takes it. Images labelled unsure are not there; ``attrs["unsure"]`` counts
        them.

    Raises
    ------
    RunError
        If it is no feedback file.
    """
    rows = read_rows(path)
    sure = [row for row in rows if row["label"] != "unsure"]
    columns = ("score", "probability", "decision", "threshold", "at", "labelled_at")
    frame = pd.DataFrame(
        {
            "recipe": [row["bundle"] for row in sure],
            "row": [row["id"] for row in sure],
            "label": np.array([row["label"] == "anomalous" for row in sure], np.int64),
            **{column: [row[column] for row in sure] for column in columns},
        }
    )
    frame["probability"] = frame["probability"].astype(float)
    frame.attrs["unsure"] = len(rows) - len(sure)
    return frame


def evaluate_feedback(frame: pd.DataFrame) -> dict[str, Any]:
    """Give each bundle's figures with 95 % intervals.

    Parameters
    ----------
    frame : pandas.DataFrame
        From `read_feedback`.

    Returns
    -------
    dict
        ``labelled``, ``unsure``; ``bundles``: each ``bundle``, ``n``, ``positives``, ``referred`` (labelled,
        but left to a person, and outside of the figures) and ``metrics``, by name ``mean``, ``low`` and
        ``high``, None where they are not defined; ``notes``.

    Raises
    ------
    DataError
        If nothing is labelled.
    """
    if not len(frame):
        raise DataError("no image of it is labelled yet; POST /v1/feedback sends labels")
    bundles = [_evaluate(str(name), part) for name, part in frame.groupby("recipe", sort=False)]
    return {
        "labelled": len(frame),
        "unsure": int(frame.attrs.get("unsure", 0)),
        "bundles": bundles,
        "notes": [SELECTION, INDEPENDENT],
    }


def _evaluate(name: str, part: pd.DataFrame) -> dict[str, Any]:
    answered = part[part["decision"] != "refer"]
    n = len(answered)
    found: dict[str, Any] = {
        "bundle": name,
        "n": n,
        "positives": int(answered["label"].sum()),
        "referred": len(part) - n,
        "metrics": {},
    }
    if n:
        once = np.zeros(n, np.int64)
        rows = RecipeRows(
            label=answered["label"].to_numpy(bool),
            score=answered["score"].to_numpy(np.float64),
            probability=answered["probability"].to_numpy(np.float64),
            group=np.arange(n),
            repeat=once,
            unit=once,
            flagged={"default": (answered["decision"] == "anomalous").to_numpy(bool)},
        )
        evidence = weigh_rows({name: rows}, n)
        found["metrics"] = {metric: evidence.cell(name, metric) for metric in METRICS}
    return found
