"""What a report reads of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray


class Reported(Protocol):
    """A run, as far as a report looks at it; `raresight.experiment.run.Run` is one."""

    path: Path

    @property
    def settings(self) -> dict[str, Any]:
        """``run.json``."""
        ...

    @property
    def predictions(self) -> pd.DataFrame:
        """Out-of-fold scores, one row per image, recipe and repeat."""
        ...

    @property
    def thresholds(self) -> dict[tuple[str, int, int], dict[str, float]]:
        """(recipe, repeat, fold) → {rule: threshold}."""
        ...

    @property
    def receipts(self) -> list[dict[str, Any]]:
        """One a task."""
        ...

    def inner(self, recipe: str, repeat: int, fold: int) -> pd.DataFrame:
        """``row, group, label, score`` of a task's training rows; raises `RaresightError` without them."""
        ...

    @property
    def metrics(self) -> dict[str, Any]:
        """``metrics.json``, as `raresight.evidence.summary.summarise` makes it."""
        ...

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        """``verdicts.json``'s rows, as `raresight.evidence.judgement.judge_balances` makes them."""
        ...

    @property
    def recommendation(self) -> str:
        """What to do about imbalance on this set; may be empty."""
        ...

    @property
    def rejected(self) -> list[dict[str, str]]:
        """``file`` and ``reason`` of images that could not be used."""
        ...

    def image(self, row: int) -> NDArray[np.uint8]:
        """Give one image; raises `RaresightError` when the store is gone."""
        ...
