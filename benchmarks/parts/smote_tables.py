"""Tables and sentences of the page "What SMOTE did": every number read from the runs, every finding chosen by them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import raresight as rs
from raresight.evidence.format import decimal, span
from raresight.evidence.leaky import points
from raresight.evidence.names import balance_title, model_title

NEUTRALISED = Path(__file__).parent.parent / "neutralise.md"
METRICS = ("auroc", "sensitivity_at_95_specificity", "brier")
PROBE_GONE = 0.65
"""AUROC of the border probe at which the border counts as neutralised."""

UNDEFINED = {"difference": None, "decision": ""}


def rows_of(run: rs.Run) -> list[dict[str, Any]]:
    """One row a recipe with a balance: the verdicts, and what moved at the default threshold."""
    judged = {(v["recipe"], v["metric"]): v for v in run.verdicts if v["against"] == "none"}
    return [
        {**effect, "verdicts": {m: judged.get((effect["recipe"], m), UNDEFINED) for m in METRICS}}
        for effect in run.metrics["effects"]
    ]


def verdict_table(sweep: rs.Sweep) -> list[str]:
    """Every balance × model × imbalance of one set."""
    lines = [
        "| train imbalance | detector | balance | verdict on ranking | ΔAUROC | Δsensitivity, default threshold | Δspecificity, default threshold | Δsensitivity at 95 % specificity | ΔBrier |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for ratio, run in sweep.runs.items():
        for row in rows_of(run):
            cells = [f"{ratio:g} : 1", model_title(row["model"]), balance_title(row["balance"])]
            auroc, matched, brier = (row["verdicts"][m] for m in METRICS)
            cells += [auroc["decision"], change(auroc)]
            cells += [change(row["changes"][m]) for m in ("sensitivity", "specificity")]
            cells += [f"{change(v)} {v['decision']}" for v in (matched, brier)]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


def change(cell: dict[str, Any]) -> str:
    """A difference with its interval."""
    if cell["difference"] is None:
        return "–"
    return f"{decimal(cell['difference'], sign=True)} ({span(cell, sign=True)})"


def counted(sweeps: dict[str, rs.Sweep]) -> tuple[Counter[tuple[str, str]], Counter[str]]:
    """How often each verdict fell on each balance, and how often a threshold moved without the ranking."""
    words: Counter[tuple[str, str]] = Counter()
    moved: Counter[str] = Counter()
    for sweep in sweeps.values():
        for run in sweep.runs.values():
            for row in rows_of(run):
                words[row["balance"], row["verdicts"]["auroc"]["decision"]] += 1
                moved[row["balance"]] += "a moved threshold" in row["sentence"]
    return words, moved


def summary_table(words: Counter[tuple[str, str]], moved: Counter[str]) -> list[str]:
    """A row a balance."""
    kinds = ("helps", "harms", "equivalent", "inconclusive")
    lines = [
        f"| balance | {' | '.join(kinds)} | called a moved threshold, not a better ranking |",
        "|---|---|---|---|---|---|",
    ]
    for balance in dict.fromkeys(name for name, _ in words):
        counts = " | ".join(str(words[balance, kind]) for kind in kinds)
        lines.append(f"| {balance_title(balance)} | {counts} | {moved[balance]} |")
    return lines


def threshold_table(sweeps: dict[str, rs.Sweep]) -> list[str]:
    """No resampling with a tuned threshold beside SMOTE with the default one."""
    lines = [
        "| set | train imbalance | detector | none, default: sensitivity / specificity | SMOTE, default | none, threshold tuned inside the folds (Youden) |",
        "|---|---|---|---|---|---|",
    ]
    for name, sweep in sweeps.items():
        for ratio, run in sweep.runs.items():
            by_recipe = {row["recipe"]: row for row in run.metrics["recipes"]}
            for row in by_recipe.values():
                other = by_recipe.get(row["recipe"].replace("+none", "+smote"))
                if row["balance"] != "none" or other is None:
                    continue
                cells = [both(row, "default"), both(other, "default"), both(row, "youden")]
                lines.append(
                    f"| {name} | {ratio:g} : 1 | {model_title(row['model'])} | {' | '.join(cells)} |"
                )
    return lines


def both(row: dict[str, Any], rule: str) -> str:
    """Sensitivity and specificity at a rule's threshold."""
    at = row["at"].get(rule)
    if at is None:
        return "–"
    return f"{decimal(at['sensitivity']['mean'])} / {decimal(at['specificity']['mean'])}"


def leaky_lines(run: rs.Run) -> list[str]:
    """Honest beside leaky."""
    lines = ["| recipe | metric | honest | balanced before the split | inflation |", "|---|---|---|---|---|"]
    for row in run.metrics["leaky"]["recipes"]:
        for metric in ("sensitivity", "specificity", "accuracy", "auroc"):
            cell = row["metrics"][metric]
            lines.append(
                f"| {row['recipe']} | {metric} | {decimal(cell['honest'])} | {decimal(cell['leaky'])} "
                f"| {points(cell['inflation'])} |"
            )
    return [*lines, "", *run.metrics["leaky"]["sentences"]]


def smote_rows(sweeps: dict[str, rs.Sweep]) -> list[dict[str, Any]]:
    """SMOTE's row of every set × imbalance × detector, with the metrics of the baseline and its own."""
    found = []
    for sweep in sweeps.values():
        for run in sweep.runs.values():
            by_recipe = {row["recipe"]: row for row in run.metrics["recipes"]}
            found += [
                {**row, "none": by_recipe[row["against"]], "own": by_recipe[row["recipe"]]}
                for row in rows_of(run)
                if row["balance"] == "smote"
            ]
    return found


def headline(found: dict[str, Any], words: Counter[tuple[str, str]], moved: Counter[str]) -> list[str]:
    """The answer, in sentences that the numbers choose."""
    rows = smote_rows(found["classical"])
    kinds = {kind: words["smote", kind] for kind in ("helps", "harms", "equivalent", "inconclusive")}
    auroc, matched = ([row["verdicts"][m] for row in rows] for m in METRICS[:2])
    default = [row["changes"]["sensitivity"] for row in rows]
    tuned = [
        row["none"]["at"]["youden"]["sensitivity"]["mean"]
        >= row["own"]["at"]["default"]["sensitivity"]["mean"]
        for row in rows
    ]
    leak = {
        row["recipe"]: row["metrics"]["sensitivity"] for row in found["leaky"].metrics["leaky"]["recipes"]
    }
    leaked = leak["svm@embedding+smote"]
    return [
        f"Of {len(rows)} comparisons of SMOTE with no resampling (set × imbalance × detector), the ranking of images "
        f"by AUROC is said to be better in {kinds['helps']}, worse in {kinds['harms']}, equivalent within ± .01 in "
        f"{kinds['equivalent']}, and not decided in {kinds['inconclusive']}; AUROC changed by {reach(auroc)}.",
        f"Sensitivity at the default threshold changed by {reach(default)}: it clearly rose in {clear(default, 1)} and "
        f"clearly fell in {clear(default, -1)}. At 95 % specificity it changed by {reach(matched)}: it clearly rose in "
        f"{clear(matched, 1)} and clearly fell in {clear(matched, -1)} (intervals of each comparison, not adjusted).",
        f"In {moved['smote']} the decisions at the default threshold moved and the ranking did not. A threshold learned "
        f"inside the training folds (Youden), without SMOTE, is at least as sensitive as SMOTE at the default one in "
        f"{sum(tuned)} of {len(rows)}; what that costs in specificity is in the second table.",
        f"Applied before the split, SMOTE turns the SVM's sensitivity on aptos2019 at 20 : 1 from "
        f"{decimal(leaked['honest'])} into {decimal(leaked['leaky'])}: {points(leaked['inflation'])} points of "
        "inflation.",
        without_shortcuts(),
    ]


def reach(cells: list[dict[str, Any]]) -> str:
    """From the least to the greatest difference, and the median."""
    values = [c["difference"] for c in cells if c["difference"] is not None]
    low, high, middle = (decimal(float(v), sign=True) for v in (min(values), max(values), np.median(values)))
    return f"{low} to {high} (median {middle})"


def clear(cells: list[dict[str, Any]], sign: int) -> int:
    """How many differences have an interval on one side of 0."""
    return sum(c["low"] is not None and min(sign * c["low"], sign * c["high"]) > 0 for c in cells)


def without_shortcuts() -> str:
    """What is left of aptos2019, from the table of benchmarks/neutralise.md."""
    text = NEUTRALISED.read_text() if NEUTRALISED.exists() else ""
    rows = {}
    for line in text.replace("0.", ".").partition("## aptos2019")[2].partition("\n## ")[0].split("\n"):
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        rows[cells[0]] = cells
    if not {"(nothing)", "border,aspect"} <= rows.keys():
        return (
            "What is left without border and aspect is not measured: run `python benchmarks/neutralise.py`."
        )
    before, after = rows["(nothing)"], rows["border,aspect"]
    fell = "falls" if float(after[1]) <= PROBE_GONE else "does not fall far enough"
    return (
        f"With border and aspect of aptos2019 neutralised, the probe of the border's outline {fell} (AUROC {before[1]} "
        f"→ {after[1]}, wanted: at most {decimal(PROBE_GONE, 2)}), and the SVM on all images has AUROC {after[3]} instead of "
        f"{before[3]}, sensitivity {after[5]} instead of {before[5]}."
    )
