"""What did SMOTE, and everything else, do on three real image sets?

    .venv/bin/python benchmarks/what_smote_did.py [--data ../shared/data] [--out runs/what-smote-did]

Runs every comparison that is not finished yet (about an hour and a half on two cores; cut short, it goes on where it was)
and writes docs/explanation/what-smote-did.md with its figures in docs/figures. Seven balances × svm, rf, logistic on
frozen lite0 embeddings at 1, 5, 20 and 100 : 1; a cnn from scratch on a sample of each set; the leaky twin; every
run's predictions judged a second time from a CSV file. Near duplicates stay in one fold everywhere.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import raresight as rs
from raresight.evidence.format import decimal, span
from raresight.evidence.leaky import points
from raresight.evidence.names import balance_title, model_title
from raresight.report.ranking import CAPTION, ranking_sentences, write_ranking_figure

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"
SETS = {
    "aptos2019": ("No_DR", (1, 5, 20, 100)),
    "brain_tumor_mri_4class": ("notumor", (1, 5, 20, 100)),
    "brain_tumor_yesno": ("no", (1, 5)),
}
BALANCES = ("none", "class-weight", "random-over", "smote", "smote-enn", "borderline", "mixup")
MODELS = ("svm", "rf", "logistic")
CNN_BALANCES = ("none", "class-weight", "smote")
CNN_RATIOS = (1, 20)
CNN_IMAGES = 200
"""Of each set at most; 90 networks are trained."""

METRICS = ("auroc", "sensitivity_at_95_specificity", "brier")


def sample(images: rs.Manifest, most: int, seed: int = 0) -> rs.Manifest:
    """Draw at most so many images, normal and anomalous in proportion."""
    if len(images) <= most:
        return images
    random = np.random.default_rng(seed)
    kinds = [np.flatnonzero(images.y == kind) for kind in (0, 1)]
    rows = [
        random.choice(own, round(most * (images.y == kind).mean()), replace=False)
        for kind, own in enumerate(kinds)
    ]
    return images.take(np.sort(np.concatenate(rows)))


def run_all(data: Path, out: Path) -> dict[str, Any]:
    """Do what is not done yet: set → sweep, set → cnn sweep, and the leaky twin."""
    found: dict[str, Any] = {"classical": {}, "cnn": {}}
    for name, (normal, ratios) in SETS.items():
        images = rs.load(data / name, normal=[normal])
        print(f"{name}: {len(images)} images", file=sys.stderr, flush=True)
        found["classical"][name] = rs.compare_imbalances(
            images, MODELS, BALANCES, imbalance=ratios, out=out / name
        )
        found["cnn"][name] = rs.compare_imbalances(
            sample(images, CNN_IMAGES), ["cnn"], CNN_BALANCES, imbalance=CNN_RATIOS, out=out / f"{name}-cnn"
        )
    images = rs.load(data / "aptos2019", normal=["No_DR"])
    found["leaky"] = rs.compare(
        images, ["svm"], ["none", "smote"], imbalance=20, leaky_twin=True, out=out / "aptos2019-leaky"
    )
    return found


def rows_of(run: rs.Run) -> list[dict[str, Any]]:
    """One row a recipe with a balance: the verdicts, and what moved at the default threshold."""
    judged = {(v["recipe"], v["metric"]): v for v in run.verdicts if v["against"] == "none"}
    return [
        {**effect, "verdicts": {m: judged[effect["recipe"], m] for m in METRICS}}
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


def judged_again(name: str, sweep: rs.Sweep, out: Path) -> str:
    """Write a run's predictions as any other tool would, have the command judge them, and hold both together."""
    ratio, run = list(sweep.runs.items())[-1]
    path = out / f"{name}-predictions.csv"
    columns = ["recipe", "label", "score", "probability", "group", "repeat", "fold", "row"]
    frame = pd.DataFrame(run.predictions)[columns]
    frame.to_csv(path, index=False)
    start = time.perf_counter()
    found = rs.judge(
        pd.read_csv(path),
        baseline="none",
        stochastic=sorted({r for r in frame["recipe"] if r.startswith("rf")}),
    )
    seconds = time.perf_counter() - start
    own = {(v["recipe"], v["metric"]): v for v in run.verdicts if v["against"] == "none"}
    same = [
        own[judged["recipe"], judged["metric"]]["decision"] == judged["decision"]
        and np.isclose(own[judged["recipe"], judged["metric"]]["difference"], judged["difference"], atol=1e-9)
        for judged in found.verdicts
        if (judged["recipe"], judged["metric"]) in own and judged["difference"] is not None
    ]
    return (
        f"| {name} at {ratio:g} : 1 | {len(frame):,} | {frame['recipe'].nunique()} | {sum(same)} of {len(same)} "
        f"| {seconds:.1f} |"
    )


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


def headline(sweeps: dict[str, rs.Sweep], words: Counter[tuple[str, str]], moved: Counter[str]) -> list[str]:
    """The answer, in sentences that the numbers choose."""
    kinds = {kind: words["smote", kind] for kind in ("helps", "harms", "equivalent", "inconclusive")}
    total = sum(kinds.values())
    gains = [
        row["verdicts"]["auroc"]["difference"]
        for sweep in sweeps.values()
        for run in sweep.runs.values()
        for row in rows_of(run)
        if row["balance"] == "smote"
    ]
    return [
        f"Of {total} comparisons of SMOTE with no resampling (set × imbalance × detector), the ranking of images by AUROC "
        f"is said to be better in {kinds['helps']}, worse in {kinds['harms']}, equivalent within ± .01 in "
        f"{kinds['equivalent']}, and not decided in {kinds['inconclusive']}. AUROC changed by {decimal(min(gains), sign=True)} "
        f"to {decimal(max(gains), sign=True)}, at the median by {decimal(float(np.median(gains)), sign=True)}.",
        f"In {moved['smote']} of them SMOTE moved the decisions at the default threshold and not the ranking: "
        "a threshold learned inside the training folds does the same for nothing (second table).",
    ]


def write(found: dict[str, Any], out: Path) -> None:
    """Write the page and its figures."""
    figures = DOCS / "figures"
    classical, cnn = found["classical"], found["cnn"]
    words, moved = counted(classical)
    lines = [
        "# What SMOTE did",
        "",
        *spaced(headline(classical, words, moved)),
        *method(classical, cnn),
        "",
        "## Verdicts counted",
        "",
    ]
    lines += [*summary_table(words, moved), "", "## A moved threshold", "", *threshold_table(classical), ""]
    for name, sweep in classical.items():
        shutil.copy(picture(sweep, out / "pictures" / name), figures / f"what-smote-did-{name}.png")
        lines += [f"## {name}", "", f"`{command(sweep)}`", "", *facts(sweep), ""]
        lines += [
            f"![Gain against imbalance on {name}, with 95 % bands](../figures/what-smote-did-{name}.png)",
            "",
            *verdict_table(sweep),
            "",
        ]
    lines += [
        "## A network from scratch",
        "",
        f"`cnn` on at most {CNN_IMAGES} images of each set, drawn at random by class. One repeat: by the rule nothing is decided of training that is random with fewer than five; the differences and their intervals stand here all the same.",
        "",
    ]
    for name, sweep in cnn.items():
        lines += [f"### {name}, {sweep.summary['data']['images']} images", "", *verdict_table(sweep), ""]
    ranking = rs.rank_balances([run for sweep in classical.values() for run in sweep.runs.values()])
    write_ranking_figure(ranking, figures, "what-smote-did-ranking")
    lines += [
        "## Across the sets",
        "",
        "![Critical-difference diagram](../figures/what-smote-did-ranking.png)",
        "",
        CAPTION,
        "",
        *spaced(ranking_sentences(ranking)),
    ]
    lines += ["## The leaky twin: aptos2019 at 20 : 1", "", *leaky_lines(found["leaky"]), ""]
    lines += ["## Without the shortcuts", "", *neutralised(), ""]
    lines += [
        "## The same from a CSV file",
        "",
        "Each set's predictions at its steepest imbalance, written as CSV and judged as another tool's (`raresight judge`).",
        "",
    ]
    lines += ["| run | predictions | recipes | verdicts that agree | seconds |", "|---|---|---|---|---|"]
    lines += [judged_again(name, sweep, out) for name, sweep in classical.items()]
    (DOCS / "explanation" / "what-smote-did.md").write_text("\n".join(lines) + "\n")
    for extra in figures.glob("what-smote-did-ranking.svg"):
        extra.unlink()


def spaced(sentences: list[str]) -> list[str]:
    return [line for sentence in sentences for line in (sentence, "")]


def method(classical: dict[str, rs.Sweep], cnn: dict[str, rs.Sweep]) -> list[str]:
    """How it was measured."""
    sets = ", ".join(
        f"{name} ({sweep.summary['data']['images']:,} images)" for name, sweep in classical.items()
    )
    return [
        f"`python benchmarks/what_smote_did.py`, {time.strftime('%Y-%m-%d')}. Sets: {sets}. Detectors on frozen lite0 "
        f"embeddings: {', '.join(MODELS)}; balances: {', '.join(BALANCES)}; five stratified group folds, near duplicates "
        "together, default settings, no tuning; anomalies dropped from the training rows until the ratio named, test "
        "folds as they are. Verdicts: paired differences over groups, Holm's correction over a run, margins AUROC "
        "± .01, sensitivity at 95 % specificity ± .02, Brier ± .005. A forest's training is random; with one repeat its "
        "verdicts are `inconclusive` by rule, whatever its differences.",
    ]


def facts(sweep: rs.Sweep) -> list[str]:
    """How rows and groups came out."""
    data = sweep.summary["data"]
    twins = data["duplicates"]
    training = "; ".join(
        f"{entry['imbalance']:g} : 1 has {entry['train_anomalies']:.0f} anomalies among {entry['train_rows']:.0f}"
        for entry in sweep.summary["ratios"]
    )
    return [
        f"{data['images']:,} images, {data['groups']:,} groups, {twins['groups']} of them near duplicates "
        f"({twins['contradictory']} with contradictory labels). Training rows of a fold: {training}."
    ]


def picture(sweep: rs.Sweep, folder: Path) -> Path:
    """Draw the sweep's figure, small enough for the repository."""
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    rs.write_sweep(sweep, folder / "report.md")
    path = folder / "figures" / "sweep.png"
    with Image.open(path) as image:
        small = image.convert("RGB").resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
    small.quantize(64).save(path, optimize=True)
    return path


def command(sweep: rs.Sweep) -> str:
    """The command that does the same."""
    name = Path(sweep.summary["data"]["name"]).name
    ratios = ",".join(f"{entry['imbalance']:g}" for entry in sweep.summary["ratios"])
    return (
        f"raresight compare DATA/{name} --normal {SETS[name][0]} --models {','.join(MODELS)} "
        f"--balance {','.join(BALANCES)} --imbalance {ratios}"
    )


def neutralised() -> list[str]:
    """The table of benchmarks/neutralise.md."""
    path = HERE / "neutralise.md"
    if not path.exists():
        return ["Run `python benchmarks/neutralise.py` first."]
    text = path.read_text().split("\n")
    return [
        "From [`benchmarks/neutralise.md`](../../benchmarks/neutralise.md):",
        "",
        *[f"#{line}" if line.startswith("## ") else line for line in text[4:]],
    ]


def main() -> None:
    """Run what is missing, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("RARESIGHT_DATA", "../shared/data")))
    parser.add_argument("--out", type=Path, default=Path("runs/what-smote-did"))
    options = parser.parse_args()
    write(run_all(options.data, options.out), options.out)


if __name__ == "__main__":
    main()
