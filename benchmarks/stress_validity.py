"""How often robustness intervals, its verdicts, and the worst subgroup are right, on simulated studies of known truth.

    .venv/bin/python benchmarks/stress_validity.py [--studies 150] [--part robustness|subgroups]

About five minutes on one core. Writes benchmarks/stress_validity.md from what both parts found.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "tests" / "evidence"))

import test_robustness as robust  # noqa: E402
import test_subgroups as groups  # noqa: E402

from raresight.evidence.conditions import weigh_conditions  # noqa: E402
from raresight.evidence.robustness import judge_robustness, kept  # noqa: E402
from raresight.evidence.subgroups import summarise_subgroups  # noqa: E402

PAGE = HERE / "stress_validity.md"
RESAMPLES = 200


def robustness(studies: int) -> list[dict]:
    """Count intervals that hold the truth, and verdicts on a balance that changes nothing."""
    found = []
    for n in (60, 200):
        inside = wrong = equal = 0
        for seed in range(studies):
            weighed = weigh_conditions(*robust.study(seed, n=n), resamples=RESAMPLES, seed=seed)
            cell = kept(weighed, robust.NONE, weighed.conditions)["robustness"]
            if cell["mean"] is not None:
                inside += cell["low"] <= robust.truth() <= cell["high"]
            row = next(r for r in judge_robustness(weighed, robust.PARTS) if r["metric"] == "robustness")
            wrong += row["decision"] in ("helps", "harms")
            equal += row["decision"] == "equivalent"
        found.append(
            {
                "n": n,
                "inside": inside / studies,
                "wrong": wrong / studies,
                "equivalent": equal / studies,
            }
        )
    return found


def subgroups(studies: int) -> list[dict]:
    """Count studies of alike subgroups in which the worst is called worse, with and without the correction."""
    found = []
    for levels, images in ((2, 1), (6, 1), (6, 4)):
        called = naive = 0
        for seed in range(studies):
            frame, table = groups.study(seed, levels=levels, images=images)
            worst = summarise_subgroups(
                frame, groups.THRESHOLDS, table, resamples=2, permutations=399, seed=seed
            )["worst"]
            row = next(w for w in worst if w["metric"] == "auroc")
            called += row["decision"] == "worse"
            naive += row["p"] < 0.05 and row["difference"] < 0
        found.append(
            {"levels": levels, "images": images, "called": called / studies, "naive": naive / studies}
        )
    return found


def page(parts: dict) -> str:
    """Tabulate what was found."""
    studies = {name: parts[name]["studies"] for name in parts}
    lines = [
        "# How often stress and subgroups are right",
        "",
        f"`benchmarks/stress_validity.py`, {studies['robustness']} simulated studies of robustness, {studies['subgroups']} of subgroups. Its quick version runs "
        "with the tests. 200 resamples, 399 deals of patients to subgroups. Scores are normal, two classes 2 deviations apart on clean images and .3 to 1.6 under four conditions, one "
        "image a patient, two folds.",
        "",
        "Robustness (truth "
        f"{robust.truth():.3f}): intervals of 95 % that hold it; and of two recipes that are equally robust, how often one is said "
        "to be better or worse (at most 5 % is wanted), or the two equivalent.",
        "",
        "| patients | intervals that hold the truth | said to differ, wrongly | said to be equivalent, rightly |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {r['n']} | {100 * r['inside']:.1f} % | {100 * r['wrong']:.1f} % | {100 * r['equivalent']:.1f} % |"
        for r in parts["robustness"]["rows"]
    ]
    lines += [
        "",
        "Subgroups of 60 patients, all alike, AUROC: how often the lowest is called worse than the others. Without a correction for "
        "having looked for the lowest, its own p would say so as often as in the last column.",
        "",
        "| subgroups | images a patient | called worse, wrongly | by its own p below .05 |",
        "|---|---|---|---|",
    ]
    lines += [
        f"| {r['levels']} | {r['images']} | {100 * r['called']:.1f} % | {100 * r['naive']:.1f} % |"
        for r in parts["subgroups"]["rows"]
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--studies", type=int, default=150)
    parser.add_argument("--part", choices=("robustness", "subgroups"))
    parser.add_argument("--out", type=Path, default=Path("runs/stress-validity.json"))
    options = parser.parse_args()
    parts = json.loads(options.out.read_text()) if options.out.exists() else {}
    for name, make in (("robustness", robustness), ("subgroups", subgroups)):
        if options.part in (None, name):
            parts[name] = {"studies": options.studies, "rows": make(options.studies)}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(parts))
    if {"robustness", "subgroups"} <= parts.keys():
        PAGE.write_text(page(parts))


if __name__ == "__main__":
    main()
