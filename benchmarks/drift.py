"""How often drift alarms are false, what they find, and whether the prevalence is where its interval says.

    .venv/bin/python benchmarks/drift.py [--data ../shared/data] [--quick]

Writes benchmarks/drift.md. First with made-up scores and features, where "like training" is true by construction. Then with
svm@embedding trained on 800 normal and 200 anomalous images of a set (6 draws of them), and windows of its other half: as
they are, with more or fewer anomalies, corrupted, of another hospital, of another organ.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np

import raresight as rs
from raresight.deploy.drift import LEVEL, DriftMonitor
from raresight.deploy.reference import drift_statistics, feature_statistics, reference, score_quantiles
from raresight.experiment.inner import fit_with_inner
from raresight.experiment.recipe import make_recipes
from raresight.experiment.runner import plan_work
from raresight.images.stored import as_served
from raresight.represent.embedding import Embedding
from raresight.stress.corruptions import Condition, corrupt_images

HERE = Path(__file__).parent
NORMALS = {"aptos2019": "No_DR", "brain_tumor_yesno": "no"}
SETS = {"aptos2019": ("No_DR", "fundus"), "brain_tumor_mri_4class": ("notumor", "mri")}
CONDITIONS = (
    *(Condition("brightness", severity) for severity in (1, 3, 5)),
    Condition("blur", 2),
    Condition("jpeg", 3),
    Condition("gaussian-noise", 2),
)
NORMAL, ANOMALOUS = 800, 200
NAMES = ("scores", "features", "distance", "prevalence")


def watch(known, scores, features, window, prevalence=None) -> dict:
    """Show a monitor a window of images."""
    monitor = DriftMonitor(known, window, prevalence=prevalence)
    for row, score in enumerate(scores):
        monitor.add(float(score), None, None if features is None else features[row])
    return monitor.status()


class Tally:
    """Alarms by name over windows, and the prevalence's interval."""

    def __init__(self) -> None:
        self.windows = self.any = self.drift = self.known = self.covered = 0
        self.names, self.width = Counter(), 0.0

    def take(self, status: dict, share: float | None = None) -> None:
        names = {alarm["name"] for alarm in status["alarms"]}
        self.windows += 1
        self.any += bool(names)
        self.drift += bool(names - {"prevalence"})
        self.names.update(names)
        found = status["prevalence"]
        if share is not None and found is not None:
            self.known += 1
            self.covered += found["low"] <= share <= found["high"]
            self.width += found["high"] - found["low"]

    def row(self, what: str) -> str:
        per = [f"{100 * self.names[name] / self.windows:.1f}" for name in NAMES]
        cover = (
            f"{100 * self.covered / self.known:.0f} | {self.width / self.known:.3f}"
            if self.known
            else "– | –"
        )
        share = 100 * self.any / self.windows
        return f"| {what} | {self.windows} | {share:.1f} | {100 * self.drift / self.windows:.1f} | {' | '.join(per)} | {cover} |"


HEAD = (
    "| images | windows | any alarm, % | any but prevalence, % | scores | features | distance | prevalence "
    "| 95 % interval holds, % | its width |\n|---|---|---|---|---|---|---|---|---|---|"
)


def made_up(random, normal: int, anomalous: int, shift: float = 0.0, apart: float = 2.0):
    """Draw scores and features of both classes; `shift`: of the features, in standard deviations of each."""
    label = np.repeat([0, 1], [normal, anomalous])
    score = random.normal(0, 1, len(label)) + apart * label
    scale = np.linspace(2, 0.5, 64)
    features = random.normal(0, 1, (len(label), 64)) * scale + 0.3 * label[:, None] + shift * scale
    return label, score, features.astype(np.float32)


def simulate(references: int) -> list[str]:
    """Windows that are like training by construction, and some that are not."""
    rows = []
    for normal, anomalous in ((100, 50), (800, 200), (4000, 400)):
        own = anomalous / (normal + anomalous)
        cases = {"alike": (own, 0.0), "a tenth of the anomalies": (own / 10, 0.0)}
        if normal == 800:
            cases |= {"three times the anomalies": (3 * own, 0.0), "features off by .2 sd": (own, 0.2)}
        tallies = {(what, window): Tally() for what in cases for window in (100, 500)}
        for seed in range(references):
            random = np.random.default_rng([normal, seed])
            label, score, features = made_up(random, normal, anomalous)
            groups = np.arange(len(label))
            known = {
                "scores": {
                    name: score_quantiles(score[label == code], groups[label == code])
                    for code, name in enumerate(("normal", "anomalous"))
                },
                "features": feature_statistics(features),
                "drift": drift_statistics(features, label, groups),
            }
            for (what, window), tally in tallies.items():
                share, shift = cases[what]
                count = int(random.binomial(window, share))
                _, new, seen = made_up(random, window - count, count, shift)
                tally.take(watch(known, new, seen, window, own), share)
        for (what, window), tally in tallies.items():
            rows.append(tally.row(f"{normal} + {anomalous} known; {window} {what}"))
    return rows


def draw(random, label, pool, size: int, share: float):
    """Draw rows of a pool with a share of anomalies, none twice."""
    count = round(size * share)
    normal, anomalous = pool[label[pool] == 0], pool[label[pool] == 1]
    return np.concatenate(
        [random.choice(normal, size - count, replace=False), random.choice(anomalous, count, replace=False)]
    )


def prepare(data: Path, name: str) -> SimpleNamespace:
    """Load a set, and split its groups into halves."""
    normal, preset = SETS[name]
    work = plan_work(
        rs.load(data / name, normal=[normal]),
        ["svm"],
        ["none"],
        representation="embedding",
        preprocess=preset,
    )
    groups = work.grouping.names
    names = np.unique(groups)
    half = np.random.default_rng(0).permutation(names)[: len(names) // 2]
    inside = np.isin(groups, half)
    return SimpleNamespace(
        store=work.store,
        groups=groups,
        label=work.store.manifest.y,
        train=np.flatnonzero(inside),
        stream=np.flatnonzero(~inside),
        features=Embedding().whole(work.store),
    )


def corrupted(one: SimpleNamespace, rows) -> dict[Condition, np.ndarray]:
    """Give the features of rows, corrupted."""
    return {each: Embedding().of(corrupt_images(one.store.pixels[rows], each)) for each in CONDITIONS}


def elsewhere(one: SimpleNamespace, data: Path, name: str) -> np.ndarray:
    """Give the features of another set's images, preprocessed as this one's."""
    images = rs.load(data / name, normal=[NORMALS[name]])
    rows = np.random.default_rng(0).permutation(len(images))[:250]
    shape, dtype = one.store.pixels.shape[1:], one.store.pixels.dtype
    made = [as_served(one.store.preprocess(images.read(int(row))), shape[2], dtype) for row in rows]
    return Embedding().of(np.stack(made))


def real(data: Path, name: str, draws: int, windows: int) -> list[str]:
    """Train on draws of one half of a set, and watch windows of the other."""
    one = prepare(data, name)
    some = draw(np.random.default_rng(1), one.label, one.stream, 300, 0.2)
    spoilt = corrupted(one, some)
    others = {"aptos2019": "brain_tumor_yesno", "brain_tumor_mri_4class": "aptos2019"}[name]
    foreign = {f"another organ ({others})": elsewhere(one, data, others)}
    if name == "brain_tumor_mri_4class":
        foreign["another hospital (brain_tumor_yesno)"] = elsewhere(one, data, "brain_tumor_yesno")
    tallies: dict[str, Tally] = {}
    recipe = make_recipes(["svm"], ["none"], "embedding")[0]
    for seed in range(draws):
        random = np.random.default_rng([2, seed])
        rows = np.sort(
            draw(random, one.label, one.train, NORMAL + ANOMALOUS, ANOMALOUS / (NORMAL + ANOMALOUS))
        )
        fitted, inner = fit_with_inner(recipe, one.store, one.groups, rows, 3, seed)
        known = reference(fitted, one.store, inner, one.groups)
        score = fitted.score(one.store, one.stream)
        place = {row: i for i, row in enumerate(one.stream)}

        def see(what, chosen, size, share=None, known=known, score=score, place=place):
            found = score[[place[row] for row in chosen]]
            status = watch(known, found, one.features[chosen], size)
            tallies.setdefault(what, Tally()).take(status, share)

        def see_features(what, features, known=known, fitted=fitted, random=random):
            chosen = random.permutation(len(features))[:200]
            found, _ = fitted.predict_seen(fitted.scaler.transform(features[chosen]))
            tallies.setdefault(what, Tally()).take(watch(known, found, features[chosen], 200))

        for _ in range(windows):
            for size in (100, 200, 500):
                see(f"{size} alike", draw(random, one.label, one.stream, size, 0.2), size, 0.2)
            for share in (0.02, 0.6):
                see(
                    f"200, {share:.0%} anomalies", draw(random, one.label, one.stream, 200, share), 200, share
                )
        for _ in range(max(1, windows // 3)):
            for condition, features in spoilt.items():
                see_features(f"200, {condition.corruption} {condition.severity}", features)
            for what, features in foreign.items():
                see_features(f"200, {what}", features)
    return [tally.row(what) for what, tally in tallies.items()]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument(
        "--data", type=Path, default=Path(os.environ.get("RARESIGHT_DATA", HERE.parent / "../shared/data"))
    )
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--part", choices=("simulation", *SETS), help="only this, printed and not written")
    chosen = arguments.parse_args()
    start = time.perf_counter()
    parts = {"simulation": lambda: simulate(20 if chosen.quick else 200)}
    parts |= {
        name: (lambda name=name: real(chosen.data, name, 2 if chosen.quick else 6, 5 if chosen.quick else 15))
        for name in SETS
    }
    wanted = [chosen.part] if chosen.part else list(parts)
    titles = {
        "simulation": "Made-up scores and features",
        **{name: f"{name}: svm@embedding, {NORMAL} + {ANOMALOUS} training images" for name in SETS},
    }
    kept = HERE / "parts"
    for name in wanted:
        text = f"## {titles[name]}\n\n{HEAD}\n" + "\n".join(parts[name]()) + "\n"
        print(text, flush=True)
        if not chosen.quick:
            (kept / f"drift-{name}.md").write_text(text)
    if not chosen.quick and all((kept / f"drift-{name}.md").exists() for name in parts):
        texts = [(kept / f"drift-{name}.md").read_text() for name in parts]
        (HERE / "drift.md").write_text(page(texts))
    print(f"{time.perf_counter() - start:.0f} s on {platform.processor() or platform.machine()}")


def page(texts: list[str]) -> str:
    return (
        "# Drift alarms: how often false, and what they find\n\n"
        "`.venv/bin/python benchmarks/drift.py`. Each window is looked at once, when it is full; figures are shares of windows. "
        f'The four alarms together are meant to be false in at most {LEVEL:.0%} of windows. A "prevalence" alarm is right where the '
        "share of anomalies is another than the 20 % of training; all others are false there. On real sets: 6 draws of the training images, and windows of one half, which overlap.\n\n"
        + "\n".join(texts)
    )


if __name__ == "__main__":
    main()
