"""What is left of a result once a shortcut is taken out of every image?

    .venv/bin/python benchmarks/neutralise.py [--data ../shared/data] [--sets aptos2019,brain_tumor_yesno]

Writes benchmarks/neutralise.md: for each set and choice of `--neutralise`, two probes that see no pathology
beside the real model. Border probe: histogram gradient boosting on the row and column means of
`brightest channel > 10` of the 224 px images; histogram probe: the same on 64 bins a channel; both in five
stratified folds, as the border was measured before. Model: `svm@embedding`, groups as `compare` makes them.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

import raresight as rs
from raresight.images.preprocess import Preprocess
from raresight.images.store import build_store

HERE = Path(__file__).parent
DARK = 10
SETS = {
    "aptos2019": (
        "fundus",
        "No_DR",
        ["", "aspect", "border,aspect", "intensity", "border,aspect,intensity"],
    ),
    "brain_tumor_yesno": (
        "mri",
        "no",
        ["", "border,aspect", "border,aspect,background", "intensity", "border,aspect,background,intensity"],
    ),
}


def outline(image: np.ndarray) -> np.ndarray:
    lit = image.max(axis=2) > DARK
    return np.concatenate([lit.mean(axis=0), lit.mean(axis=1)])


def histogram(image: np.ndarray) -> np.ndarray:
    planes = np.moveaxis(image, 2, 0)
    return np.concatenate([np.histogram(plane, 64, (0, 256))[0] for plane in planes])


def probe(X: np.ndarray, y: np.ndarray) -> float:
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    model = HistGradientBoostingClassifier(random_state=0)
    return float(roc_auc_score(y, cross_val_predict(model, X, y, cv=folds, method="predict_proba")[:, 1]))


def row(images: rs.Manifest, preset: str, chosen: str) -> str:
    """Measure one choice of neutralisers: a row of the table."""
    names = tuple(name for name in chosen.split(",") if name)
    store = build_store(images, Preprocess(preset=preset, neutralise=names))
    y = store.manifest.y
    probes = [probe(np.stack([look(p) for p in store.pixels]), y) for look in (outline, histogram)]
    with tempfile.TemporaryDirectory() as folder:
        run = rs.compare(
            images,
            ["svm"],
            ["none"],
            preprocess=preset,
            neutralise=names,
            workers=1,
            out=Path(folder) / "run",
        )
        (result,) = run.metrics["recipes"]
    cells = [f"{value:.3f}" for value in probes]
    for name in ("auroc", "accuracy", "sensitivity", "specificity"):
        metric = result["metrics"][name]
        cells.append(f"{metric['mean']:.3f} ({metric['low']:.3f}–{metric['high']:.3f})")
    return f"| {chosen or '(nothing)'} | " + " | ".join(cells) + " |"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=os.environ.get("RARESIGHT_DATA", "../shared/data"))
    parser.add_argument("--sets", default=",".join(SETS))
    options = parser.parse_args()
    lines = [
        "# What is left once a shortcut is gone?",
        "",
        f"`python benchmarks/neutralise.py`, {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, "
        f"{platform.machine()}, Python {platform.python_version()}. Probes: AUROC of gradient boosting in five "
        "stratified folds, on what holds no pathology; model: svm@embedding, 95 % intervals.",
    ]
    for name in options.sets.split(","):
        preset, normal, choices = SETS[name]
        images = rs.load(Path(options.data) / name, normal=[normal])
        lines += [
            "",
            f"## {name}, `--preprocess {preset}`",
            "",
            "| neutralised | border probe | histogram probe | svm AUROC | accuracy | sensitivity | specificity |",
            "|---|---|---|---|---|---|---|",
        ]
        for chosen in choices:
            lines.append(row(images, preset, chosen))
            print(name, lines[-1], file=sys.stderr, flush=True)
    (HERE / "neutralise.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
