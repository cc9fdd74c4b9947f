"""Sets made for the tests: small, quick, with a finding that can be learned."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Find the real image sets, or skip."""
    folder = Path(os.environ.get("RARESIGHT_DATA", "../shared/data")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real image sets at {folder}; set RARESIGHT_DATA")
    return folder


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep the tests out of the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    os.environ["RARESIGHT_CACHE"] = str(folder)
    return folder


def draw(anomalous: bool, random: np.random.Generator, contrast: int, side: int = 40) -> np.ndarray:
    """Draw grey noise, and for an anomaly a bright spot."""
    image = random.normal(90, 20, (side, side))
    if anomalous:
        top, left = random.integers(8, side - 16, 2)
        image[top : top + 9, left : left + 9] += contrast
    return np.clip(image, 0, 255).astype(np.uint8)


def write_set(
    folder: Path, normal: int = 40, anomalous: int = 24, patients: bool = False, contrast: int = 110
) -> Path:
    """Write a folder of two classes with ``labels.csv``."""
    random = np.random.default_rng(7)
    rows = []
    for label, count in (("normal", normal), ("tumour", anomalous)):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            file = f"{label}/{i:03d}.png"
            Image.fromarray(draw(label == "tumour", random, contrast)).save(folder / file)
            rows.append({"file": file, "label": label, "patient": f"{label[0]}{i // 2}"})
    table = pd.DataFrame(rows)
    (table if patients else table.drop(columns="patient")).to_csv(folder / "labels.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 normal and 24 anomalous images."""
    return write_set(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def patient_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, two images a patient."""
    return write_set(tmp_path_factory.mktemp("patients"), patients=True)


@pytest.fixture(scope="session")
def noise_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes that cannot be told apart, so that rows have strangers for neighbours."""
    return write_set(tmp_path_factory.mktemp("noise"), contrast=0)
