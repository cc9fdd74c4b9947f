"""Made-up predictions whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest


def binormal(
    *,
    groups: int = 120,
    size: int = 2,
    distance: float = 1.5,
    shared: float = 0.5,
    recipes: dict[str, float] | None = None,
    folds: int = 3,
    repeats: int = 1,
    seed: int = 0,
) -> tuple[pd.DataFrame, dict[tuple[str, int, int], dict[str, float]]]:
    """Scores N(0, 1) and N(distance, 1), correlated within groups; recipes differ in where they cut."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), size)
    label = (group < groups // 2).astype(int)
    noise = np.sqrt(shared) * rng.normal(size=groups)[group] + np.sqrt(1 - shared) * rng.normal(
        size=len(group)
    )
    score = noise + distance * label
    frames, thresholds = [], {}
    for recipe, cut in (recipes or {"svm@embedding+none": distance / 2}).items():
        for repeat in range(repeats):
            fold_of = np.random.default_rng(repeat).permutation(groups)[group] % folds
            for fold in range(folds):
                i = np.flatnonzero(fold_of == fold)
                own = score[i] + fold
                frames.append(
                    pd.DataFrame(
                        {
                            "recipe": recipe,
                            "repeat": repeat,
                            "fold": fold,
                            "row": i,
                            "file": [f"{k}.png" for k in i],
                            "group": [f"p{g}" for g in group[i]],
                            "label": label[i],
                            "score": own,
                            "probability_raw": np.nan,
                            "probability": 1 / (1 + np.exp(-distance * (score[i] - distance / 2))),
                        }
                    )
                )
                thresholds[recipe, repeat, fold] = {"default": cut + fold, "youden": distance / 2 + fold}
    return pd.concat(frames, ignore_index=True), thresholds


@pytest.fixture
def made_up() -> Callable[..., Any]:
    return binormal
