"""How fine is the heat of `raresight predict --heatmaps`? A bundle's 7 × 7 cells against lesions' masks.

    .venv/bin/python benchmarks/bundle_heat.py

Writes benchmarks/bundle_heat.md: on new anomalies of phantom:brain at difficulty .2, how often the hottest cell touches the
lesion, or lies at most one beside it, and how often the hottest pixel of the map drawn smoothly over the image lies at most
7 of 224 pixels off. Beside it the same of a map that knows nothing: a cell, or a pixel, at random.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import maximum_filter

from raresight.deploy.heat_graph import heat_graph, run_heat
from raresight.experiment.recipe import make_recipes
from raresight.images.load import load
from raresight.images.masks import reduced_masks
from raresight.images.store import build_store

PHANTOM = "phantom:brain?n=300&anomalies=0.3&difficulty=0.2&seed=3"
TRAINED = 200
SIDE, CELLS, TOLERANCE = 224, 7, 7


def measure(store, model: str) -> list[float]:
    """Fit on the first images, and point at the lesions of the rest."""
    (recipe,) = make_recipes([model], ["none"])
    fitted = recipe.fit(store, np.arange(TRAINED), 0)
    new = np.flatnonzero((np.arange(len(store)) >= TRAINED) & (store.manifest.y == 1))
    made = heat_graph(fitted, store)
    assert made is not None
    heats = run_heat(made.content, np.asarray(store.pixels[new]))
    smooth = [
        np.asarray(Image.fromarray(heat).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for heat in heats
    ]
    return [
        hits(truth, maps)
        for truth, maps in zip(targets(store, new), (heats, heats, np.stack(smooth)), strict=True)
    ]


def targets(store, rows) -> list[np.ndarray]:
    """Give the cells that a lesion touches, those and their neighbours, and the pixels within the tolerance."""
    masks = reduced_masks(store, SIDE)[rows] > 0
    size = SIDE // CELLS
    cells = masks.reshape(len(rows), CELLS, size, CELLS, size).any(axis=(2, 4))
    beside = maximum_filter(cells, (1, 3, 3))
    return [cells, beside, maximum_filter(masks, (1, 2 * TOLERANCE + 1, 2 * TOLERANCE + 1))]


def hits(truth: np.ndarray, maps: np.ndarray) -> float:
    """Give the share of images whose highest place is a target."""
    hottest = maps.reshape(len(maps), -1).argmax(axis=1)
    return float(truth.reshape(len(maps), -1)[np.arange(len(maps)), hottest].mean())


def main() -> None:
    """Measure and write."""
    store = build_store(load(PHANTOM))
    new = np.flatnonzero((np.arange(len(store)) >= TRAINED) & (store.manifest.y == 1))
    rows = {model: measure(store, model) for model in ("svm", "logistic", "rf")}
    rows["*at random*"] = [float(truth.mean()) for truth in targets(store, new)]
    lines = [
        "# How fine a bundle's heat is",
        "",
        f"`python benchmarks/bundle_heat.py`. `{PHANTOM}`: {TRAINED} images to train on, {len(new)} new anomalies.",
        "",
        "| detector on the embedding | hottest cell on the lesion | at most one beside it | hottest pixel within 7 |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {' | '.join(f'{value:.2f}' for value in values)} |" for name, values in rows.items()
    ]
    (Path(__file__).parent / "bundle_heat.md").write_text("\n".join(lines).replace(" 0.", " .") + "\n")


if __name__ == "__main__":
    main()
