"""benchmarks/conformal.md from what the parts found."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]

WAYS = {
    "split": "one third of the patients each to train, calibrate, test",
    "inner folds": "5 folds, calibrated on inner folds of the training rows (a run's report, a bundle)",
    "other folds": "5 folds, calibrated on the other folds' test rows (cross-conformal)",
}


def write_page(found: Mapping[str, Any], path: Path) -> None:
    """Write what is there; a part that is not done yet is named."""
    lines = ["# Conformal answers and doubt", "", "`python benchmarks/conformal.py`", ""]
    for name, make in {"scores": _scores, "phantoms": _phantoms, "runs": _runs, "orders": _orders}.items():
        lines += make(found[name]) if name in found else [f"Part {name}: not run.", ""]
    lines += _doubt([each for name, each in found.items() if name.startswith("doubt-")])
    path.write_text("\n".join(lines).rstrip() + "\n")


def _scores(rows: Rows) -> Rows:
    lines = [
        "## Drawn scores: 200 sets",
        "",
        "60 patients a class to calibrate on, 400 to test, 1 to 6 images each, two thirds of the variance the patient's "
        "own. Error rate: share of test patients whose class is ruled out, by the largest score (promise "
        "`patient`), or for any of their images (`image`). Last rows: images taken for units, as is often done, and "
        "judged by the promise that no image of a patient is ruled out. ± 2 standard errors over sets.",
        "",
        "| Units, promise | α | Class | Promised k/(n + 1) | Found, mean of 200 | z | Referred |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for r in rows:
        what = r["what"] if r["what"] == "images as units" else f"patients, `{r['what']}`"
        promised = f"{r['promised']:.4f}" if r["what"] != "images as units" else f"(≤ {r['alpha']:g})"
        z = f"{_z(r):+.1f}" if r["what"] != "images as units" else "–"
        lines.append(
            f"| {what} | {r['alpha']:g} | {r['class']} | {promised} | {r['mean']:.4f} ± {2 * r['error']:.4f} | {z} "
            f"| {r['referred']:.3f} |"
        )
    return [*lines, ""]


def _phantoms(rows: Rows) -> list[str]:
    lines = [
        "## Phantoms drawn anew: 200 sets",
        "",
        "`phantom:brain?n=360&anomalies=0.4&difficulty=0.2&size=64`, 200 seeds: 90 patients of 4 slices, which share a "
        "head and often the anomaly. A detector of spots (15 features, logistic regression) is trained on each "
        "set. α = .1, promise `patient`. Sets are independent; the folds of one set are not, so that the ± "
        "(2 standard errors) is over sets.",
        "",
        "| Calibrated | Class | Promised | Found, mean of 200 | z | Answered wrongly | Referred |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {WAYS[r['what']]} | {r['class']} | {r['promised']:.4f} | {r['mean']:.4f} ± {2 * r['error']:.4f} "
        f"| {_z(r):+.1f} | {r['mistaken']:.4f} | {r['referred']:.3f} |"
        for r in rows
    ]
    return [*lines, ""]


def _z(row: Mapping[str, float]) -> float:
    return (row["mean"] - row["promised"]) / row["error"]


def _runs(rows: Rows) -> list[str]:
    lines = [
        "## Real sets",
        "",
        "`raresight compare`, 5 folds, near duplicates in one fold. Neither set names patients: a group of near duplicates "
        "counts as one. 95 % intervals over groups.",
        "",
        "| Set, recipe | Calibrated on | α | Class | Groups | Promised | Found | Answered wrongly | Referred |",
        "| --- | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {r['set']}, `{r['recipe']}` | {r['way']} | {r['alpha']:g} | {r['class']} | {r['patients']} "
        f"| {r['promised']:.3f} | {_cell(r['broken'])} | {_cell(r['mistaken'])} | {_cell(r['referred'])} |"
        for r in rows
    ]
    return [*lines, ""]


def _cell(cell: Mapping[str, float]) -> str:
    return f"{cell['mean']:.3f} ({cell['low']:.3f}–{cell['high']:.3f})"


def _orders(rows: Rows) -> list[str]:
    lines = [
        "## Which order do a run's predictions give?",
        "",
        "The same answers at the default threshold in three orders: by the score's distance from the threshold, in "
        "standard deviations of the fold's scores; by the calibrated probability of the class not called; by "
        "the conformal p-value of the class not called. AURC: mean share of wrong answers over all coverages, less is "
        "better; differences from the raw score by a paired bootstrap over groups, 95 %; **bold** where below 0.",
        "",
        "| Set, recipe | Wrong, all answered | Order | Wrong, 80 % answered | AURC | E-AURC | Difference |",
        "| --- | ---: | --- | ---: | ---: | ---: | ---: |",
    ]
    for one in rows:
        for name, r in one["rows"].items():
            lines.append(
                f"| {one['set']}, `{one['recipe']}` | {one['wrong']:.3f} | {name} | {r['risk_80']:.3f} | {r['aurc']:.4f} "
                f"| {r['e_aurc']:.4f} | {_difference(r)} |"
            )
    return [*lines, ""]


def _difference(row: Mapping[str, float]) -> str:
    if "difference" not in row:
        return "–"
    told = f"{row['difference']:+.4f} ({row['low']:+.4f} to {row['high']:+.4f})"
    return f"**{told}**" if row["high"] < 0 else told


def _doubt(sets: Rows) -> list[str]:
    lines = [
        "## Does any doubt order the errors better than the raw score?",
        "",
        "`transfer[stages=0]` (a new head on lite0's frozen embedding), 5 folds by groups, everything fitted inside the "
        "training rows: an ensemble of five fits, each without a fifth of them; 20 masks of dropout; six views, "
        "mirrored and slightly moved, embedded anew. A *mean* decides itself, by its sign, and its margin orders; a "
        "*spread* orders the decisions of the plain score. AURC: mean share of wrong answers over all coverages, "
        "less is better; difference from the raw score's margin by a bootstrap over groups, in both with the same "
        "draws; **bold** where its 95 % interval lies below 0.",
    ]
    if not sets:
        return ["Part doubt: not run.", ""]
    for one in sets:
        lines += [
            "",
            f"### {one['set']}: {one['n']} images, {one['groups']} groups",
            "",
            "| Doubt | Wrong, all answered | Wrong, 80 % answered | AURC | E-AURC | Difference of AURC |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
        ]
        for name, r in one["rows"].items():
            lines.append(
                f"| {name} | {one['errors'][name]:.3f} | {r['risk_80']:.3f} | {r['aurc']:.4f} | {r['e_aurc']:.4f} "
                f"| {_difference(r)} |"
            )
    better = {
        name: [one["set"] for one in sets if one["rows"][name].get("high", 1) < 0] for name in sets[0]["rows"]
    }
    won = [f"{name} ({', '.join(where)})" for name, where in better.items() if where]
    lines += ["", f"Better than the raw score beyond chance: {'; '.join(won) if won else 'none'}."]
    return [*lines, ""]
