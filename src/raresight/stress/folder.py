"""What stress leaves behind: a folder with every recipe's and fold's clean and corrupted predictions."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from raresight.errors import RunError
from raresight.evidence.elsewhere import summarise_elsewhere
from raresight.evidence.stressed import DRIFTS, SHOWN, summarise_stress
from raresight.evidence.subgroups import summarise_subgroups
from raresight.experiment.run import REMEDY, Run
from raresight.images.cache import disk_errors, new_file
from raresight.stress.battery import OTHER

SUMMARY = "stress.json"


class Stress:
    """A stress folder, opened to read; laid out as a run, with corrupted predictions in ``external``.

    Parameters
    ----------
    path : Path or str
        A folder that `raresight.stress_recipes` made.

    Raises
    ------
    RunError
        If it is none.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        if not is_stress(self.path):
            raise RunError(f"{self.path} holds no stress test; make one with raresight stress")
        self.run = Run(self.path)

    @property
    def settings(self) -> dict[str, Any]:
        """``run.json``; what was done to images is in its ``stress``."""
        return self.run.settings

    @property
    def predictions(self) -> pd.DataFrame:
        """Out-of-fold scores of all clean test images."""
        return self.run.predictions

    @cached_property
    def clean(self) -> pd.DataFrame:
        """Scores of the clean images that were corrupted too."""
        marks = ["recipe", "repeat", "fold", "row"]
        found = self.predictions
        wanted = pd.MultiIndex.from_frame(self.corrupted[marks].drop_duplicates())
        return found[pd.MultiIndex.from_frame(found[marks]).isin(wanted)].reset_index(drop=True)

    @cached_property
    def corrupted(self) -> pd.DataFrame:
        """Scores of corrupted images: the columns of predictions, ``corruption`` and ``severity``."""
        found = self._beside()
        return found[found["corruption"] != OTHER].reset_index(drop=True)

    @cached_property
    def elsewhere(self) -> pd.DataFrame | None:
        """Scores of another set by every fold's model; None without one."""
        found = self._beside()
        others = found[found["corruption"] == OTHER].drop(columns=["corruption", "severity"])
        return None if others.empty else others.reset_index(drop=True)

    def _beside(self) -> pd.DataFrame:
        found = self.run.external
        if found is None:
            raise RunError(f"{self.path} holds no predictions yet; run the same stress command again")
        return found

    @cached_property
    def summary(self) -> dict[str, Any]:
        """``stress.json``: what breaks each recipe; computed when first asked for."""
        path = self.path / SUMMARY
        if not path.is_file():
            with disk_errors(self.path, REMEDY), new_file(path) as scratch:
                scratch.write_text(json.dumps(self._summarise(), indent=1, allow_nan=False))
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        """Which balance made its model more or less robust."""
        found: list[dict[str, Any]] = self.summary["verdicts"]
        return found

    def _summarise(self) -> dict[str, Any]:
        settings, thresholds = self.settings, self.run.thresholds
        seed, chosen = int(settings["protocol"]["seed"]), settings["stress"]
        found = summarise_stress(
            self.clean, self.corrupted, thresholds, settings["recipes"], cost=chosen["cost"], seed=seed
        )
        if self.elsewhere is not None:
            facts = {name: value for name, value in settings["external"].items() if name != "key"}
            recipes = summarise_elsewhere(
                self.elsewhere, self.predictions, thresholds, SHOWN, DRIFTS, seed=seed
            )
            found["external"] = {**facts, "recipes": recipes}
        if self.run.subgroups is not None:
            found["subgroups"] = summarise_subgroups(self.predictions, thresholds, self.run.subgroups)
        found["sentences"] += self.run.failure_sentences
        return found


def is_stress(path: Path | str) -> bool:
    """Tell whether a folder is that of a stress test."""
    settings = Path(path) / "run.json"
    return settings.is_file() and "stress" in json.loads(settings.read_text())
