"""The script a good engineer would write today: PyTorch embeddings, imbalanced-learn pipelines, scikit-learn's folds.

    python plain_script.py PLAN.json [--space embedding|pixels] [--kept EMBEDDINGS.npy]

The same detectors with the same settings. No groups, no thresholds, no intervals: embed once (or read images at 96 pixels), then cross_validate every sampler with
every detector. The folds are those that it is given, so that metrics can be compared. Prints what it took as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from pathlib import Path

import numpy as np
from imblearn.over_sampling import ADASYN, SMOTE, BorderlineSMOTE, RandomOverSampler
from imblearn.pipeline import Pipeline
from imblearn.under_sampling import RandomUnderSampler
from PIL import Image
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

SAMPLERS = {
    "none": None,
    "random-over": RandomOverSampler(random_state=0),
    "random-under": RandomUnderSampler(random_state=0),
    "smote": SMOTE(random_state=0),
    "borderline": BorderlineSMOTE(random_state=0),
    "adasyn": ADASYN(random_state=0),
}
DETECTORS = {
    "logistic": LogisticRegression(C=0.01, max_iter=2000),
    "svm": SVC(C=2.0, cache_size=500),
    "rf": RandomForestClassifier(n_estimators=100, max_features="log2", random_state=0),
    "boosting": HistGradientBoostingClassifier(
        max_iter=150,
        max_leaf_nodes=15,
        min_samples_leaf=5,
        max_features=0.1,
        l2_regularization=1.0,
        early_stopping=False,
        random_state=0,
    ),
}


def read(folder: Path, files: list[str], side: int) -> np.ndarray:
    """Read images as (n, side, side, 3) uint8, letting the aspect ratio go as most scripts do."""
    return np.stack(
        [np.asarray(Image.open(folder / file).convert("RGB").resize((side, side))) for file in files]
    )


def embed(folder: Path, files: list[str]) -> np.ndarray:
    """Embed in PyTorch, in batches of 32."""
    import torch

    from raresight.networks.lite0 import Lite0

    network, found = Lite0().eval(), []
    with torch.inference_mode():
        for start in range(0, len(files), 32):
            pixels = torch.from_numpy(read(folder, files[start : start + 32], 224)).float()
            found.append(network(pixels).numpy())
    return np.concatenate(found)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("plan", type=Path, help="JSON: folder, files, y, folds (number of each file's fold)")
    parser.add_argument("--space", choices=["embedding", "pixels"], default="embedding")
    parser.add_argument("--kept", type=Path, help="embeddings of an earlier call, or where to keep them")
    parser.add_argument("--samplers", default=",".join(SAMPLERS))
    parser.add_argument("--detectors", default=",".join(DETECTORS))
    options = parser.parse_args()
    plan = json.loads(options.plan.read_text())
    start = time.perf_counter()
    folder, y, fold = Path(plan["folder"]), np.array(plan["y"]), np.array(plan["folds"])
    if options.space == "pixels":
        X = read(folder, plan["files"], 96).reshape(len(y), -1) / np.float32(255)
    elif options.kept is not None and options.kept.exists():
        X = np.load(options.kept)
    else:
        X = embed(folder, plan["files"])
        if options.kept is not None:
            np.save(options.kept, X)
    ready = time.perf_counter()
    # Half of what gamma="scale" would be: raresight's width. Features are scaled first, pixels are not.
    scaler = StandardScaler() if options.space == "embedding" else "passthrough"
    DETECTORS["svm"].set_params(gamma=0.5 / X.shape[1] / (1 if options.space == "embedding" else X.var()))
    splits = [(np.flatnonzero(fold != each), np.flatnonzero(fold == each)) for each in np.unique(fold)]
    metrics = {}
    for sampler in options.samplers.split(","):
        for detector in options.detectors.split(","):
            steps = [
                ("scale", scaler),
                ("balance", SAMPLERS[sampler] or "passthrough"),
                ("fit", DETECTORS[detector]),
            ]
            found = cross_validate(
                Pipeline(steps),
                X,
                y,
                cv=splits,
                scoring=("roc_auc", "accuracy", "recall"),
                n_jobs=os.cpu_count(),
            )
            metrics[f"{detector}+{sampler}"] = {
                name: float(found[f"test_{name}"].mean()) for name in ("roc_auc", "accuracy", "recall")
            }
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(
        json.dumps(
            {
                "prepare": ready - start,
                "seconds": time.perf_counter() - start,
                "kilobytes": peak,
                "metrics": metrics,
            }
        )
    )


if __name__ == "__main__":
    main()
