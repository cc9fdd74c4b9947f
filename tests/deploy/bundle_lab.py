"""What several tests of bundles share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from raresight.deploy.files import LIST

SET = "phantom:brain?n=48&anomalies=0.4&difficulty=0&seed=0"


def listed(folder: Path) -> str:
    return (folder / LIST).read_text()


def grey(seed: int = 0, shape: tuple[int, ...] = (40, 40), dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
