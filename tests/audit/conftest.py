"""A set with everything in it that an audit must find."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from planted import head, wider

import raresight as rs


def write(folder: Path, count: int = 30) -> Path:
    """Write two classes told apart by their border, with duplicates, a contradiction and a broken file."""
    random = np.random.default_rng(5)
    rows = []
    for label in ("healthy", "ill"):
        (folder / label).mkdir(parents=True)
        for i in range(count):
            image = Image.fromarray(wider(random, label == "ill").astype(np.uint8))
            file = f"{label}/{i:02d}.png"
            image.save(folder / file)
            rows.append((file, label, f"SECRET{label[0]}{i // 2}", "test" if i >= count - 6 else "train"))
            if i == 0:
                image.save(folder / f"{label}/copy.png", compress_level=1)
                rows.append((f"{label}/copy.png", label, "SECRETx", "test"))
    contradiction = Image.fromarray(head(random).astype(np.uint8))
    for label in ("healthy", "ill"):
        contradiction.save(folder / f"{label}/both.png")
        rows.append((f"{label}/both.png", label, None, "train"))
    (folder / "ill/broken.png").write_bytes((folder / "ill/01.png").read_bytes()[:300])
    rows.append(("ill/broken.png", "ill", None, "train"))
    table = pd.DataFrame(rows, columns=["file", "label", "patient", "split"])
    table["scanner"] = np.where(table["label"] == "ill", "A", "B")
    table["site"] = random.choice(["north", "south"], len(table))
    table.to_csv(folder / "labels.csv", index=False)
    return folder


@pytest.fixture(scope="session")
def planted_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("planted") / "set")


@pytest.fixture(scope="session")
def audit(planted_set: Path) -> rs.Audit:
    return rs.audit_images(rs.load(planted_set), probe=["site"])
