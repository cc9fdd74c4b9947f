"""What a bundle carries as evidence: a run's figures of its recipe, or those of its own inner folds."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import raresight
from raresight.evidence.summary import summarise
from raresight.experiment.refit import Refit
from raresight.experiment.run import Run

BY_RUN = (
    "Judged out of fold by a run; this detector has seen every image since, and was itself tested on none."
)
CHOSEN = "It was chosen among the run's recipes by scores inside training rows, without a look at test rows."
NAMED = "It was chosen by hand; the best of several recipes looks better than it is."
INSIDE = (
    "Judged by scores of a twin that did not see the image, inside the training set; thresholds and, of a "
    "network, the end of training were chosen by the same scores, so figures at thresholds flatter. "
    "raresight compare judges without this."
)


@dataclass(frozen=True)
class Judged:
    """Figures of a recipe, and where they come from.

    Attributes
    ----------
    source : {"run", "inner"}
    sentence : str
        What they are worth.
    recipe : str
        The row of `metrics` that is meant.
    metrics : mapping
        As ``metrics.json``.
    verdicts : list of dict
        Of the recipe's balance.
    settings : mapping
        As ``run.json``.
    """

    source: str
    sentence: str
    recipe: str
    metrics: Mapping[str, Any]
    verdicts: list[dict[str, Any]]
    settings: Mapping[str, Any]

    @property
    def row(self) -> Mapping[str, Any]:
        """The recipe's own row."""
        found: Mapping[str, Any] = next(r for r in self.metrics["recipes"] if r["recipe"] == self.recipe)
        return found

    def as_dict(self) -> dict[str, Any]:
        """Give what ``bundle.json`` says of it."""
        row = self.row
        return {
            "from": self.source,
            "sentence": self.sentence,
            "run": self.settings["identity"] if self.source == "run" else None,
            "recipes": len(self.metrics["recipes"]),
            "protocol": self.settings["protocol"] if self.source == "run" else None,
            **{key: row[key] for key in ("n", "positives", "metrics", "at")},
            "groups": self.metrics["intervals"]["groups"],
            "verdicts": self.verdicts,
        }


def judged_by_run(run: Run, recipe: str, *, named: bool) -> Judged:
    """Take a recipe's figures from a run.

    Parameters
    ----------
    run : Run
    recipe : str
        Its id.
    named : bool
        Whether somebody chose it, who may have seen how it did on test rows.
    """
    sentence = f"{BY_RUN} {NAMED if named else CHOSEN}"
    thinned = run.settings["protocol"]["imbalance"]
    if thinned is not None:
        sentence += f" There training rows were thinned to {thinned:g} : 1; this detector learned from all."
    row = next(r for r in run.metrics["recipes"] if r["recipe"] == recipe)
    same = ("model", "representation", "balance")
    verdicts = [v for v in run.verdicts if all(v.get(part, row[part]) == row[part] for part in same)]
    return Judged("run", sentence, recipe, run.metrics, verdicts, run.settings)


def judged_inside(refit: Refit) -> Judged | None:
    """Judge by inner scores; None where they hold one class only."""
    inner, manifest = refit.inner, refit.store.manifest
    if len(np.unique(inner.label)) < 2:
        return None
    recipe = str(refit.settings["recipes"][0]["id"])
    frame = pd.DataFrame(
        {
            "recipe": recipe,
            "repeat": 0,
            "fold": 0,
            "row": inner.rows,
            "file": np.array(manifest.files, object)[inner.rows],
            "group": refit.groups[inner.rows],
            "label": inner.label,
            "score": inner.score,
            # Calibration was learned on these scores, and so says nothing about itself.
            "probability": np.nan,
        }
    )
    receipt = {"recipe": recipe, "seconds": {"fit": 0.0, "predict": 0.0}}
    made = summarise(frame, {(recipe, 0, 0): refit.thresholds}, [receipt], refit.settings)
    return Judged("inner", INSIDE, recipe, made, [], refit.settings)


def code_hash() -> str:
    """Hash raresight's own source: which code a bundle was made by."""
    home = Path(raresight.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(home.rglob("*.py")):
        digest.update(path.relative_to(home).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
