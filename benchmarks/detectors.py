"""Every detector of the registry on seven image sets: AUROC, AUPRC, time and memory.

    .venv/bin/python benchmarks/detectors.py [--data ../shared/data] [--work DIR] [--only NAME,…] [--write]

Writes benchmarks/detectors.md and docs/figures/detectors.png. Sets: phantom:brain at three difficulties (600 images,
30 % anomalies; at .5 also 2,400), and up to 600 images each of brain_tumor_yesno, brain_tumor_mri_4class and aptos2019. One split a set,
2 : 1, patients and near duplicates on one side; no rebalancing; default settings. One process a cell, one thread; a
cell that is in the work folder already is not made again, so that the benchmark can be cut short; --write only renders.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
PHANTOM = "phantom:brain?n={}&anomalies=0.3&difficulty={}&seed=0"
LARGE = "phantom .5 × 2400"
SETS = {
    "phantom .2": (PHANTOM.format(600, 0.2), None),
    "phantom .5": (PHANTOM.format(600, 0.5), None),
    LARGE: (PHANTOM.format(2400, 0.5), None),
    "phantom .8": (PHANTOM.format(600, 0.8), None),
    "brain_tumor_yesno": ("{data}/brain_tumor_yesno", "no"),
    "brain_tumor_mri_4class": ("{data}/brain_tumor_mri_4class", "notumor"),
    "aptos2019": ("{data}/aptos2019", "No_DR"),
}
MOST = 600
FOLDS = 3
LIMIT = 900
"""Seconds after which a cell is given up."""
FLOORS = {
    **dict.fromkeys(
        ("logistic", "svm", "rf", "boosting", "vote", "cnn", "transfer", "vit", "swin", "unet"), 0.95
    ),
    **dict.fromkeys(("ae", "vae", "dae", "ceae", "cevae", "mae", "swin-mae", "f-anogan", "anogan"), 0.70),
    **dict.fromkeys(("perceptual-ae", "patchcore", "mahalanobis"), 0.85),
}
"""What issue 5 asks for at difficulty .5."""


def prepare(name: str, data: Path):
    """Give the store, the groups, and training and test rows of a set."""
    import numpy as np

    from raresight.images.grouping import group_images
    from raresight.images.load import load
    from raresight.images.splits import stratified_group_folds
    from raresight.images.store import build_store

    place, normal = SETS[name]
    images = load(place.format(data=data), normal=[normal] if normal else [])
    if len(images) > MOST and name != LARGE:
        shares = np.random.default_rng(0).permutation(len(images))[:MOST]
        images = images.take(np.sort(shares))
    store = build_store(images)
    groups = group_images(images, store, "auto").names
    fold_of = stratified_group_folds(store.manifest.y, groups, FOLDS, 0)
    return store, groups, np.flatnonzero(fold_of != 0), np.flatnonzero(fold_of == 0)


def cell(name: str, detector: str, data: Path, out: Path) -> None:
    """Fit one detector on one set and keep its test scores."""
    import torch

    from raresight.experiment.recipe import make_recipes
    from raresight.images.splits import inner_split
    from raresight.represent import REPRESENTATIONS

    torch.set_num_threads(1)
    store, groups, train, test = prepare(name, data)
    (recipe,) = make_recipes([detector], ["none"])
    space = recipe.representation.make(REPRESENTATIONS)
    if not space.learned:
        space.whole(store)  # frozen features are computed once for all detectors, and not timed here
    y, held = store.manifest.y, None
    learn = train
    if recipe.network:
        inside, outside = inner_split(y[train], groups[train], 0.15, 0)
        learn, held = train[inside], train[outside]
    start = time.perf_counter()
    fitted = recipe.fit(store, learn, 0, groups, validation=held)
    fit = time.perf_counter() - start
    start = time.perf_counter()
    score = fitted.score(store, test)
    found = {
        "recipe": recipe.id,
        "fit": fit,
        "score": (time.perf_counter() - start) / len(test),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "train": [int((y[train] == c).sum()) for c in (0, 1)],
        "row": test.tolist(),
        "label": y[test].tolist(),
        "group": [str(g) for g in groups[test]],
        "scores": score.tolist(),
    }
    out.write_text(json.dumps(found))


def run(name: str, detector: str, data: Path, work: Path) -> None:
    """Make a cell in a process of its own."""
    out = work / f"{name.replace(' ', '-')}--{detector}.json"
    if out.exists():
        return
    command = [sys.executable, __file__, "--data", str(data), "--cell", name, detector, str(out)]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "MALLOC_MMAP_THRESHOLD_": "4294967296",
        "MALLOC_TRIM_THRESHOLD_": "17179869184",
    }
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        reason = done.stderr.strip().rpartition("\n")[2] if done.returncode else ""
    except subprocess.TimeoutExpired:
        reason = f"not done after {LIMIT} s"
    if reason:
        out.write_text(json.dumps({"failed": reason}))
    print(name, detector, reason or "done", flush=True)


def render(work: Path) -> None:
    """Write the tables and the picture."""
    import pandas as pd

    from raresight.detect import DETECTORS
    from raresight.evidence.judge import judge

    made: dict[str, dict[str, dict]] = {name: {} for name in SETS}
    for name in SETS:
        for detector in DETECTORS:
            path = work / f"{name.replace(' ', '-')}--{detector}.json"
            if path.exists():
                made[name][detector] = json.loads(path.read_text())
    table: dict[str, dict[str, dict]] = {}
    for name, cells in made.items():
        alive = {d: c for d, c in cells.items() if "failed" not in c}
        if len(alive) < 2:
            continue
        frame = pd.concat(
            pd.DataFrame(
                {"recipe": d, "row": c["row"], "label": c["label"], "group": c["group"], "score": c["scores"]}
            )
            for d, c in alive.items()
        )
        for row in judge(frame, next(iter(alive))).metrics:
            table.setdefault(row["recipe"], {})[name] = row["metrics"]
    figure(table)
    write(table, made)


def estimate(value: dict | None) -> str:
    """Write a metric with its interval."""
    if not value or value["mean"] is None:
        return "–"
    text = f"{value['mean']:.3f} ({value['low']:.3f}–{value['high']:.3f})"
    return text.replace("0.", ".")


def write(table: dict, made: dict) -> None:
    """Write benchmarks/detectors.md."""
    from raresight.detect import DETECTORS

    detectors = [d for d in DETECTORS if any(d in cells for cells in made.values())]
    lines = [
        "# Every detector on seven sets",
        "",
        f"`python benchmarks/detectors.py`, {time.strftime('%Y-%m-%d')}, {platform.machine()}, two cells at a time, one "
        "thread each. " + " ".join(__doc__.split("\n\n")[2].split()),
        "",
    ]
    for name, cells in made.items():
        one = next((c for c in cells.values() if "train" in c), None)
        if one:
            lines.append(
                f"- {name}: {one['train'][0]} normal and {one['train'][1]} anomalous training images, "
                f"{len(one['row'])} test images, {sum(one['label'])} of them anomalous"
            )
    for metric, title in (("auroc", "AUROC"), ("auprc", "AUPRC")):
        lines += ["", f"## {title}, with 95 % intervals", "", "| detector | " + " | ".join(SETS) + " |"]
        lines.append("|---" * (len(SETS) + 1) + "|")
        for detector in detectors:
            cells = []
            for name in SETS:
                failed = made[name].get(detector, {}).get("failed")
                found = estimate(table.get(detector, {}).get(name, {}).get(metric))
                cells.append(f"– ({why(failed)})" if failed else found)
            lines.append(f"| {detector} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "## Time and memory",
        "",
        "Seconds to fit, milliseconds to score one image (frozen features computed before), and the process's largest "
        "memory, on phantom .5; other programs ran meanwhile.",
        "",
        "| detector | fit, s | score, ms | memory, GB | floor at .5 |",
        "|---|---|---|---|---|",
    ]
    for detector in detectors:
        found = made["phantom .5"].get(detector, {})
        if "fit" not in found:
            continue
        verdict = floor_reached(table[detector], FLOORS.get(detector))
        lines.append(
            f"| {detector} | {found['fit']:.1f} | {1000 * found['score']:.1f} | {found['memory'] / 1e9:.2f} | {verdict} |"
        )
    (HERE / "detectors.md").write_text("\n".join(lines) + "\n")


def why(failed: str) -> str:
    """Shorten the reason why a cell is empty."""
    return "no masks" if "has no masks" in failed else failed.partition(": ")[2] or failed


def floor_reached(row: dict[str, dict], floor: float | None) -> str:
    """Say with how many images, if at all, a detector reaches its floor at difficulty .5."""
    if floor is None:
        return ""
    reached = {n: row[s]["auroc"]["mean"] for s, n in (("phantom .5", 600), (LARGE, 2400)) if s in row}
    where = [n for n, value in reached.items() if value >= floor]
    values = ", ".join(f"{value:.3f} with {n}" for n, value in reached.items())
    return f"{floor:.2f}: {f'met with {where[0]} images' if where else 'NOT met'} ({values})".replace(
        "0.", "."
    )


def figure(table: dict) -> None:
    """Draw AUROC with intervals, a panel a set."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    from raresight.detect import DETECTORS

    detectors = [d for d in DETECTORS if d in table]
    kinds = {d: DETECTORS[d].load().one_class for d in detectors}
    fig, axes = plt.subplots(1, len(SETS), figsize=(16, 0.26 * len(detectors) + 1.4), sharey=True)
    for axis, name in zip(axes, SETS, strict=True):
        for place, detector in enumerate(detectors):
            value = table[detector].get(name, {}).get("auroc")
            if value is None or value["mean"] is None:
                continue
            colour = "#1b6ca8" if kinds[detector] else "#b3541e"
            axis.plot([value["low"], value["high"]], [place, place], color=colour, lw=1.5)
            axis.plot(value["mean"], place, "o", color=colour, ms=4)
        axis.axvline(0.5, color="#999999", lw=0.8, ls=":")
        axis.set_title(name, fontsize=9)
        axis.set_xlim(0.25, 1.02)
        axis.grid(axis="x", alpha=0.25)
        axis.tick_params(labelsize=8)
    axes[0].set_yticks(range(len(detectors)), detectors)
    axes[0].invert_yaxis()
    fig.supxlabel("AUROC, 95 % interval (blue: one-class, orange: sees labelled anomalies)", fontsize=9)
    fig.tight_layout()
    fig.savefig(HERE.parent / "docs" / "figures" / "detectors.png", dpi=80)


def main() -> None:
    """Fill the work folder and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RARESIGHT_DATA", "../shared/data")))
    parser.add_argument("--work", type=Path, default=Path("runs/detectors"))
    parser.add_argument("--only", default="", help="detectors, comma-separated")
    parser.add_argument("--sets", default="", help="sets, comma-separated")
    parser.add_argument("--write", action="store_true", help="render what is there")
    parser.add_argument("--cell", nargs=3, metavar=("SET", "DETECTOR", "OUT"))
    options = parser.parse_args()
    if options.cell:
        name, detector, out = options.cell
        cell(name, detector, options.data, Path(out))
        return
    options.work.mkdir(parents=True, exist_ok=True)
    if not options.write:
        from raresight.detect import DETECTORS

        wanted = [d for d in options.only.split(",") if d] or list(DETECTORS)
        sets = [s for s in options.sets.split(",") if s] or list(SETS)
        with ThreadPoolExecutor(2) as pool:
            list(
                pool.map(
                    lambda pair: run(*pair, options.data, options.work),
                    [(s, d) for s in sets for d in wanted],
                )
            )
    render(options.work)


if __name__ == "__main__":
    main()
