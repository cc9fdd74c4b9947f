"""Are the verdicts right as often as they say? Simulated studies whose truth is known.

    .venv/bin/python benchmarks/validity.py [--experiments 2000] [--only NAME,…] [--workers 2]

Writes benchmarks/validity.md. Patients have several images, whose scores share a part of their error; two recipes
share another part. `helps` or `harms` where nothing differs, and `equivalent` where the difference is the margin itself,
are errors, at most 6 % of them allowed; intervals must hold the truth 92–98 % of the time.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy import optimize, stats
from scipy.special import expit

from raresight.evidence.estimates import Evidence, RecipeRows, weigh_rows
from raresight.evidence.influence import JUDGED, STEPS
from raresight.evidence.metrics import ranking_metrics
from raresight.evidence.sentences import COMPARED, conclusion
from raresight.evidence.verdicts import MARGINS, verdicts

HERE = Path(__file__).parent
A, B = "a@x+none", "a@x+smote"
RESAMPLES = 500
IMAGES = 3
FOLDS = 5
SOLVING = 6000
"""Folds simulated to find a gain's expectation: ± .00003 for AUPRC, ± .00014 for the sensitivity."""
SHARED = (0.45, 0.35, 0.05, 0.15)
"""Variance of a score: patient and image, both recipes alike; patient and image, each recipe its own. Recipes that differ
in their balance alone agree more than that: .91 and .96 within the classes for the svm with and without SMOTE on
aptos2019 at 20 : 1."""
LESS_SHARED = (0.4, 0.3, 0.1, 0.2)
"""Recipes that agree less: .7 of the variance shared."""
CLOSE = (0.49, 0.47, 0.01, 0.03)
"""As the svm's: .96. Recipes that agree less leave intervals wider than the margins, and `equivalent` could not be said,
rightly or wrongly."""


@dataclass(frozen=True)
class Condition:
    """A kind of study, and what must come out of it."""

    anomalous: int
    normal: int
    auroc: float = 0.85
    gain: float = 0.0
    """In the metric `at`."""
    at: str = "auroc"
    repeats: int = 1
    networks: bool = False
    moved: bool = False
    shared: tuple[float, float, float, float] = SHARED
    times: int = 1
    """So many times as many studies: 5 % are expected, and 2,000 studies tell that from the 6 % allowed by two standard
    errors only."""
    expect: tuple[str, ...] = field(default=("differs",))

    @property
    def resamples(self) -> int:
        """Of the bootstrap; as good as none where nothing that is counted reads it."""
        read = {"differs", "coverage", "moved", "better"} & set(self.expect) or self.at in STEPS
        return RESAMPLES if read else 2


CONDITIONS = {
    "nothing differs, 30 + 120 patients": Condition(30, 120, expect=("differs", "coverage")),
    "nothing differs, 30 + 30 patients, AUROC .985": Condition(30, 30, 0.985, expect=("differs", "coverage")),
    "nothing differs, 10 + 40 patients": Condition(10, 40),
    "nothing differs, 60 + 60 patients, 5 repeats": Condition(60, 60, repeats=5),
    "A/A: the same network twice, 30 + 90 patients, 5 repeats": Condition(30, 90, repeats=5, networks=True),
    "AUROC differs by the margin, 300 + 300 patients": Condition(
        300, 300, 0.95, 0.01, "auroc", times=3, expect=("equivalent",)
    ),
    "AUPRC differs by the margin, 300 + 300 patients": Condition(
        300, 300, 0.95, 0.01, "auprc", times=3, expect=("equivalent",)
    ),
    "sensitivity at 95 % specificity differs by the margin, 300 + 300 patients, recipes correlated .96": Condition(
        300, 300, 0.985, 0.02, "sensitivity_at_95_specificity", shared=CLOSE, expect=("equivalent",)
    ),
    "Brier differs by the margin, 300 + 300 patients, recipes correlated .96": Condition(
        300, 300, 0.95, 0.005, "brier", shared=CLOSE, times=3, expect=("equivalent",)
    ),
    "AUROC .80 against .865, 30 + 120 patients": Condition(
        30, 120, 0.80, 0.065, expect=("power", "coverage")
    ),
    "the same, recipes correlated .7 instead of .8": Condition(
        30, 120, 0.80, 0.065, shared=LESS_SHARED, expect=("told",)
    ),
    "a moved threshold, 60 + 120 patients": Condition(60, 120, 0.9, moved=True, expect=("moved",)),
    "a better ranking, 60 + 120 patients": Condition(60, 120, 0.8, 0.1, expect=("better",)),
}


def distance(auroc: float) -> float:
    """Distance of two normal distributions of variance 1 with that AUROC."""
    return float(math.sqrt(2) * stats.norm.ppf(auroc))


def study(condition: Condition, seed: int) -> tuple[Evidence, dict[str, float]]:
    """Simulate one study of two recipes; give it and the true AUROC of each."""
    random = np.random.default_rng([seed, condition.anomalous, condition.normal])
    patients = condition.anomalous + condition.normal
    group = np.repeat(np.arange(patients), IMAGES)
    label = group < condition.anomalous
    if condition.networks:
        return networks(condition, random, group, label), {}
    far = distance(condition.auroc), further(condition)
    both = draw(random, group, *condition.shared[:2])
    parts: dict[str, list[tuple[np.ndarray, np.ndarray, np.ndarray]]] = {A: [], B: []}
    for _ in range(condition.repeats):
        fold = folds(random, condition)[group]
        for recipe, away in zip((A, B), far, strict=True):
            score = away * label + both + draw(random, group, *condition.shared[2:])
            if condition.moved and recipe == B:
                score = parts[A][-1][0] + 0.0
            parts[recipe].append((score, chance(score, away, condition, recipe), fold))
    cut = {A: far[0] / 2 + 0.5, B: far[0] / 2 + (-0.3 if condition.moved else 0.5)}
    rows = {recipe: table(found, group, label, cut[recipe]) for recipe, found in parts.items()}
    truth = {A: condition.auroc, B: float(stats.norm.cdf(far[1] / math.sqrt(2)))}
    return weigh_rows(rows, patients, resamples=condition.resamples, seed=seed), truth


def draw(random: np.random.Generator, group: np.ndarray, patient: float, image: float) -> np.ndarray:
    """Errors that the images of a patient share in part."""
    shared = random.normal(size=group.max() + 1)[group]
    return math.sqrt(patient) * shared + math.sqrt(image) * random.normal(size=len(group))


def folds(random: np.random.Generator, condition: Condition) -> np.ndarray:
    """The fold of each patient, each class dealt by itself."""
    return np.r_[random.permutation(condition.anomalous), random.permutation(condition.normal)] % FOLDS


def chance(score: np.ndarray, away: float, condition: Condition, recipe: str) -> np.ndarray:
    """The probability of an anomaly, calibrated; overconfident where the Brier score is to differ."""
    odds = away * (score - away / 2) + math.log(condition.anomalous / condition.normal)
    return expit(odds * (overconfidence(condition) if recipe == B and condition.at == "brier" else 1.0))


def table(
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]], group: np.ndarray, label: np.ndarray, cut: float
) -> RecipeRows:
    """All repeats of one recipe, as the evidence reads them."""
    score, chances, fold = (np.concatenate(part) for part in zip(*found, strict=True))
    repeat = np.repeat(np.arange(len(found)), len(group))
    return RecipeRows(
        np.tile(label, len(found)),
        score,
        chances,
        np.tile(group, len(found)),
        repeat,
        repeat * FOLDS + fold,
        {"default": score >= cut},
    )


_SOLVED: dict[tuple[str, float, float], float] = {}


def further(condition: Condition) -> float:
    """Distance at which the second recipe gains what it should, by the expectation of what is measured."""
    start = distance(condition.auroc)
    if condition.gain == 0 or condition.at == "brier":
        return start
    if condition.at == "auroc":
        return distance(condition.auroc + condition.gain)
    return solve(condition, lambda away: expected_gain(condition, away) - condition.gain, start, start + 1)


def expected_gain(condition: Condition, away: float) -> float:
    """Mean gain within a fold: average precision and a quantile are biased in small folds, each a little its own."""
    values = []
    for distant in (distance(condition.auroc), away):
        random = np.random.default_rng(0)
        group = np.repeat(np.arange((condition.anomalous + condition.normal) // FOLDS), IMAGES)
        label, once = group < condition.anomalous // FOLDS, np.ones((1, len(group)))
        shared = condition.shared[0] + condition.shared[2]
        scores = (distant * label + draw(random, group, shared, 1 - shared) for _ in range(SOLVING))
        values.append(np.mean([ranking_metrics(label, score, once)[condition.at] for score in scores]))
    return float(values[1] - values[0])


def overconfidence(condition: Condition) -> float:
    """Factor on the log odds at which the Brier score is worse by the margin."""
    away = distance(condition.auroc)
    x = np.random.default_rng(0).normal(size=400_000)

    def worse(factor: float) -> float:
        def brier(f: float) -> float:
            low, high = (expit(f * away * (x + m - away / 2)) for m in (0.0, away))
            return float((low**2).mean() + ((1 - high) ** 2).mean()) / 2

        return brier(factor) - brier(1.0) - condition.gain

    return solve(condition, worse, 1.0, 5.0)


def solve(condition: Condition, function: Callable[[float], float], low: float, high: float) -> float:
    """Find where a rising function is 0, once for each condition."""
    key = condition.at, condition.auroc, condition.gain
    if key not in _SOLVED:
        _SOLVED[key] = float(optimize.brentq(function, low, high, xtol=1e-4))
    return _SOLVED[key]


def networks(
    condition: Condition, random: np.random.Generator, group: np.ndarray, label: np.ndarray
) -> Evidence:
    """Train the same early-stopped network under two names, each repeat and fold from a seed of its own."""
    width, hidden = 12, 8
    direction = random.normal(size=width)
    direction *= 1.6 / np.linalg.norm(direction)
    patient = random.normal(size=(group.max() + 1, width))[group]
    X = 0.75 * patient + 0.66 * random.normal(size=(len(group), width)) + label[:, None] * direction
    fold = np.stack([folds(random, condition)[group] for _ in range(condition.repeats)])
    # One network a recipe, repeat and fold: (2 · repeats · folds, rows) says which rows it learns from.
    held = (fold[:, None, :] == np.arange(FOLDS)[None, :, None]).reshape(-1, len(group))
    held = np.concatenate([held, held])
    stop = random.random((len(held), condition.anomalous + condition.normal))[:, group] < 0.2
    score = train(X, label, ~held & ~stop, ~held & stop, hidden, random)
    rows = {}
    for number, recipe in enumerate((A, B)):
        own = score.reshape(2, condition.repeats, FOLDS, -1)[number]
        found = [(np.take_along_axis(own[r], fold[r][None], 0)[0], fold[r]) for r in range(condition.repeats)]
        rows[recipe] = table([(s, expit(s), f) for s, f in found], group, label, 0.0)
    return weigh_rows(rows, int(group.max()) + 1, resamples=condition.resamples, seed=0)


def train(
    X: np.ndarray,
    y: np.ndarray,
    learn: np.ndarray,
    stop: np.ndarray,
    hidden: int,
    random: np.random.Generator,
    epochs: int = 60,
) -> np.ndarray:
    """Train many small networks at once by Adam, each kept as it was when its stopping rows liked it best."""
    count, d = len(learn), X.shape[1]
    weights = [
        random.normal(0, 1 / math.sqrt(d), (count, d, hidden)),
        np.zeros((count, 1, hidden)),
        random.normal(0, 1 / math.sqrt(hidden), (count, hidden, 1)),
        np.zeros((count, 1, 1)),
    ]
    moments = [(np.zeros_like(w), np.zeros_like(w)) for w in weights]
    best, kept = np.full(count, np.inf), np.zeros((count, len(X)))
    share = (learn / learn.sum(axis=1, keepdims=True))[:, :, None]
    for epoch in range(1, epochs + 1):
        active = np.tanh(X @ weights[0] + weights[1])
        out = active @ weights[2] + weights[3]
        loss = (np.logaddexp(0, out[..., 0]) - y * out[..., 0]) * stop
        loss = loss.sum(axis=1) / stop.sum(axis=1)
        better = loss < best
        best[better], kept[better] = loss[better], out[better, :, 0]
        error = (expit(out) - y[:, None]) * share
        back = error @ weights[2].transpose(0, 2, 1) * (1 - active**2)
        slopes = [
            X.T @ back,
            back.sum(axis=1, keepdims=True),
            active.transpose(0, 2, 1) @ error,
            error.sum(axis=1, keepdims=True),
        ]
        for w, slope, (first, second) in zip(weights, slopes, moments, strict=True):
            first += 0.1 * (slope - first)
            second += 0.001 * (slope**2 - second)
            w -= 0.05 * (first / (1 - 0.9**epoch)) / (np.sqrt(second / (1 - 0.999**epoch)) + 1e-8)
    return kept


def experiment(name: str, seed: int) -> dict[str, object]:
    """Run one study and say what was said of it."""
    condition = CONDITIONS[name]
    evidence, truth = study(condition, seed)
    stochastic = (A, B) if condition.networks else ()
    found = verdicts(evidence, [(B, A)], stochastic=stochastic)[B, A]
    said: dict[str, object] = {metric: found[metric].word for metric in JUDGED}
    if "coverage" in condition.expect:
        low, high = found["auroc"].interval
        said["difference held"] = low <= truth[B] - truth[A] <= high
        cell = evidence.cell(A, "auroc")
        said["auroc held"] = cell["low"] <= truth[A] <= cell["high"]
        cut = distance(condition.auroc) / 2 + 0.5
        for metric, value in (
            ("sensitivity", stats.norm.sf(cut - distance(condition.auroc))),
            ("specificity", stats.norm.cdf(cut)),
        ):
            cell = evidence.cell(A, metric)
            said[f"{metric} held"] = cell["low"] <= value <= cell["high"]
    if {"moved", "better"} & set(condition.expect):
        said["conclusion"] = conclusion({name: evidence.difference(B, A, name) for name in COMPARED})
    return said


def several(name: str, seeds: range) -> list[dict[str, object]]:
    """Run some studies in one process."""
    return [experiment(name, seed) for seed in seeds]


def lines_of(name: str, found: list[dict[str, object]]) -> list[str]:
    """Rows of the table for one condition: what was counted, how often, what is allowed."""
    condition, rows = CONDITIONS[name], []

    def row(what: str, share: float, allowed: str, good: bool) -> None:
        rows.append(f"| {name} | {what} | {100 * share:.1f} % | {allowed} | {'yes' if good else 'NO'} |")

    def share(metric: str, *words: object) -> float:
        return float(np.mean([said[metric] in words for said in found]))

    if "differs" in condition.expect:
        for metric in JUDGED:
            wrong = share(metric, "helps", "harms")
            row(f"{metric}: helps or harms", wrong, "≤ 6 %", wrong <= 0.06)
    if "equivalent" in condition.expect:
        wrong = share(condition.at, "equivalent")
        row(f"{condition.at}: equivalent", wrong, "≤ 6 %", wrong <= 0.06)
    if "power" in condition.expect:
        right = share("auroc", "helps")
        row("auroc: helps", right, "≥ 80 %", right >= 0.8)
    if "told" in condition.expect:
        rows.append(f"| {name} | auroc: helps | {100 * share('auroc', 'helps'):.1f} % | told only | |")
    if "coverage" in condition.expect:
        for what in ("difference", "auroc", "sensitivity", "specificity"):
            held = share(f"{what} held", True)
            row(f"interval of the {what} holds the truth", held, "92–98 %", 0.92 <= held <= 0.98)
    if "moved" in condition.expect:
        wrong = share("auroc", "helps", "harms")
        row("auroc: helps or harms", wrong, "≤ 6 %", wrong <= 0.06)
        right = share("conclusion", "a moved threshold, not a better ranking")
        row("called a moved threshold", right, "≥ 90 %", right >= 0.9)
    if "better" in condition.expect:
        right = share("auroc", "helps")
        row("auroc: helps", right, "≥ 80 %", right >= 0.8)
        wrong = share("conclusion", "a moved threshold, not a better ranking")
        row("called a moved threshold", wrong, "≤ 6 %", wrong <= 0.06)
    return rows


def main() -> None:
    """Simulate and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--experiments", type=int, default=2000)
    parser.add_argument("--only", default="", help="parts of the conditions' names, comma-separated")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args()
    wanted = [part for part in chosen.only.split(",") if part]
    lines = [
        "# Verdicts on studies whose truth is known",
        "",
        f"`python benchmarks/validity.py --experiments {chosen.experiments}`, {time.strftime('%Y-%m-%d')}, "
        f"Python {platform.python_version()}: {chosen.experiments:,} simulated studies a condition (three times as many "
        f"where AUROC, AUPRC or Brier differ by the margin), {IMAGES} images a "
        f"patient (error shared within patients: {SHARED[0] + SHARED[2]:.0%} of the variance; between the recipes: "
        f"{SHARED[0] + SHARED[1]:.0%} unless said), {FOLDS} folds, margins {', '.join(f'{k} {v}' for k, v in MARGINS.items())}.",
        "",
        "| study | counted | came out | allowed | met |",
        "|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    pool = multiprocessing.get_context("spawn").Pool(chosen.workers)
    for name in CONDITIONS:
        if wanted and not any(part in name for part in wanted):
            continue
        start, step = time.perf_counter(), 25
        studies = chosen.experiments * CONDITIONS[name].times
        blocks = [range(s, min(s + step, studies)) for s in range(0, studies, step)]
        parts = pool.starmap(several, [(name, block) for block in blocks])
        new = lines_of(name, [said for part in parts for said in part])
        lines += new
        print("\n".join(new), f"\n({time.perf_counter() - start:.0f} s)", flush=True)
    if not wanted:
        (HERE / "validity.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
