"""Which detector with N labelled anomalies? AUROC against N, five seeds, two real sets.

    .venv/bin/python benchmarks/crossover.py [--data ../shared/data] [--work DIR] [--write]

Writes docs/explanation/which-detector.md's figures and tables. Each seed is another split, 2 : 1, patients and near
duplicates on one side; of the anomalies among the training rows, N are kept, those of a smaller N being part of those
of a larger one. One fit a point, default settings; all see the same frozen features. A point that is in the work folder
already is not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "explanation" / "which-detector.md"
SETS = {"aptos2019": "No_DR", "brain_tumor_mri_4class": "notumor"}
MOST = 2400
COUNTS = (0, 5, 10, 20, 50, 100, None)
"""Labelled anomalies kept; None: all."""
SEEDS = range(5)
ARMS = {
    "mahalanobis": ("one-class", "none"),
    "knn": ("one-class", "none"),
    "patchcore": ("one-class", "none"),
    "iforest": ("one-class", "none"),
    "deep-sad": ("few labels", "none"),
    "logistic": ("supervised", "none"),
    "svm": ("supervised", "none"),
    "svm+smote": ("supervised", "smote"),
    "logistic+smote": ("supervised", "smote"),
}
FEWEST_FOR_SMOTE = 6


def prepare(name: str, data: Path):
    """Give the store and the groups of a set."""
    from raresight.images.grouping import group_images
    from raresight.images.load import load
    from raresight.images.store import build_store
    from raresight.represent.embedding import Embedding

    images = load(str(data / name), normal=[SETS[name]])
    images = images.take(np.sort(np.random.default_rng(0).permutation(len(images))[:MOST]))
    store = build_store(images)
    Embedding().whole(store)
    return store, group_images(images, store, "auto").names


def points(name: str, seed: int, data: Path, out: Path) -> None:
    """Score every arm at every N on one split."""
    from sklearn.metrics import roc_auc_score

    from raresight.experiment.recipe import make_recipes
    from raresight.images.splits import keep_anomalies, stratified_group_folds

    store, groups = prepare(name, data)
    y = store.manifest.y
    fold_of = stratified_group_folds(y, groups, 3, seed)
    train, test = np.flatnonzero(fold_of != 0), np.flatnonzero(fold_of == 0)
    found = json.loads(out.read_text()) if out.exists() else {}
    for arm, (kind, balance) in ARMS.items():
        for count in COUNTS:
            key = f"{arm}/{'all' if count is None else count}"
            rows = train if count is None else keep_anomalies(y, groups, train, count, seed)
            anomalies = int(y[rows].sum())
            if kind == "supervised" and (
                not anomalies or (balance == "smote" and anomalies < FEWEST_FOR_SMOTE)
            ):
                continue
            if kind == "one-class":
                rows = train[y[train] == 0]
                key, anomalies = f"{arm}/0", 0
            if key in found:
                continue
            (recipe,) = make_recipes([arm.partition("+")[0]], [balance])
            start = time.perf_counter()
            fitted = recipe.fit(store, rows, seed, groups)
            auroc = float(roc_auc_score(y[test], fitted.score(store, test)))
            found[key] = {"auroc": auroc, "anomalies": anomalies, "seconds": time.perf_counter() - start}
            out.write_text(json.dumps(found))
    found["rows"] = {"train": [int((y[train] == c).sum()) for c in (0, 1)], "test": len(test)}
    out.write_text(json.dumps(found))
    print(name, seed, "done", flush=True)


def gather(work: Path, name: str) -> tuple[dict[str, dict[str, list[float]]], dict]:
    """Collect AUROC by arm and N over the seeds."""
    made = [json.loads((work / f"{name}-{seed}.json").read_text()) for seed in SEEDS]
    table: dict[str, dict[str, list[float]]] = {}
    for one in made:
        for key, value in one.items():
            if key != "rows":
                arm, _, count = key.partition("/")
                table.setdefault(arm, {}).setdefault(count, []).append(value["auroc"])
    return table, made[0]["rows"]


def figure(work: Path, name: str) -> None:
    """Draw means and the range over seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    table, rows = gather(work, name)
    fig, axis = plt.subplots(figsize=(7.6, 4.6))
    places = {"0": 0, "5": 1, "10": 2, "20": 3, "50": 4, "100": 5, "all": 6}
    colours = dict(zip(ARMS, plt.get_cmap("tab10").colors, strict=False))
    for arm, (kind, balance) in ARMS.items():
        counts = table.get(arm, {})
        if kind == "one-class":
            counts = dict.fromkeys(places, counts["0"])
        x = [places[c] for c in places if c in counts]
        y = [counts[c] for c in places if c in counts]
        style = {"one-class": ":", "few labels": "-.", "supervised": "-" if balance == "none" else "--"}[kind]
        axis.plot(x, [np.mean(v) for v in y], style, color=colours[arm], label=arm, lw=1.8)
        axis.fill_between(x, [min(v) for v in y], [max(v) for v in y], color=colours[arm], alpha=0.12, lw=0)
    axis.set_xticks(range(len(places)), [*list(places)[:-1], f"all ({rows['train'][1]})"])
    axis.set_xlabel("labelled anomalies among the training images")
    axis.set_ylabel("AUROC; line: mean, band: range over 5 seeds")
    axis.set_title(
        f"{name}: {rows['train'][0]} normal training images, {rows['test']} test images", fontsize=10
    )
    axis.grid(alpha=0.25)
    axis.legend(fontsize=8, ncol=2, loc="lower right")
    fig.tight_layout()
    fig.savefig(ROOT / "docs" / "figures" / f"crossover-{name}.png", dpi=80)
    plt.close(fig)


def table_of(work: Path, name: str) -> list[str]:
    """Write the table of one set."""
    table, _ = gather(work, name)
    heads = ["0", "5", "10", "20", "50", "100", "all"]
    lines = [f"**{name}**", "", "| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    for arm, (kind, _balance) in ARMS.items():
        counts = table.get(arm, {})
        cells = []
        for head in heads:
            values = counts.get("0" if kind == "one-class" else head)
            text = "–" if not values else f"{np.mean(values):.3f} ({min(values):.3f}–{max(values):.3f})"
            cells.append(text.replace("0.", ".") if kind != "one-class" or head == "0" else "″")
        lines.append(f"| {arm} ({kind}) | " + " | ".join(cells) + " |")
    return lines


def between(text: str, name: str, body: str) -> str:
    """Put text between a page's markers."""
    start, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    before, _, rest = text.partition(start)
    return f"{before}{start}\n{body}\n{end}{rest.partition(end)[2]}"


def main() -> None:
    """Fill the work folder, draw and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RARESIGHT_DATA", "../shared/data")))
    parser.add_argument("--work", type=Path, default=Path("runs/crossover"))
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    os.environ["OMP_NUM_THREADS"] = "1"
    if not options.write:
        for name in SETS:
            prepare(name, options.data)
        calls: list[tuple] = [
            (n, s, options.data, options.work / f"{n}-{s}.json") for n in SETS for s in SEEDS
        ]
        work: Callable[..., None] = points
        with ProcessPoolExecutor(2) as pool:
            for future in [pool.submit(work, *call) for call in calls]:
                future.result()
    text = PAGE.read_text()
    body: list[str] = [f"`python benchmarks/crossover.py`, {time.strftime('%Y-%m-%d')}.", ""]
    for name in SETS:
        figure(options.work, name)
        body += [*table_of(options.work, name), ""]
    PAGE.write_text(between(text, "table", "\n".join(body).rstrip()))


if __name__ == "__main__":
    main()
