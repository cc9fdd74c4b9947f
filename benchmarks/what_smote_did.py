"""What did SMOTE, and everything else, do on three real image sets?

    .venv/bin/python benchmarks/what_smote_did.py [--data ../shared/data] [--out runs/what-smote-did]

Runs every comparison that is not finished yet (about an hour on two idle cores; cut short, it goes on where it was) and writes
docs/explanation/what-smote-did.md with its figures in docs/figures. Seven balances × svm, rf, logistic on frozen lite0
embeddings at 1, 5, 20 and 100 : 1; a cnn from scratch on a sample of each set; the leaky twin; every set's predictions
judged a second time from a CSV file. Near duplicates stay in one fold everywhere. `--only classical/aptos2019,cnn,leaky`
runs parts and writes no page. The table without shortcuts is read from
benchmarks/neutralise.md, which `benchmarks/neutralise.py` writes.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import raresight as rs
from parts.smote_tables import (
    counted,
    headline,
    leaky_lines,
    summary_table,
    threshold_table,
    verdict_table,
)
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
CNN = "cnn[members=1]"
CNN_BALANCES = ("none", "class-weight", "smote")
CNN_RATIOS = {"aptos2019": (1, 20), "brain_tumor_mri_4class": (1, 20), "brain_tumor_yesno": (1, 5)}
"""At 20 : 1 brain_tumor_yesno would have four anomalies to train on, too few for SMOTE's five neighbours."""

CNN_IMAGES, CNN_FOLDS = 500, 3
"""Fewer images leave no fold eight anomalies at 20 : 1."""

ENOUGH_REPEATS = 5
"""The fewest with which anything is decided of a forest or a network, whose training is random."""

JUDGED = ["recipe", "label", "score", "probability", "group", "repeat", "fold", "row"]
EQUAL = ("difference", "low", "high", "p")
FEW_REPEATS = (
    " Training of a forest or a network is random: with so few repeats its verdicts are `inconclusive` by rule, "
    "whatever its differences; `--repeats 5` decides, in five times the hours."
)


def sample(images: rs.Manifest, most: int, seed: int = 0) -> rs.Manifest:
    """Draw at most half as many normal and half as many anomalous images."""
    random = np.random.default_rng(seed)
    kinds = [np.flatnonzero(images.y == kind) for kind in (0, 1)]
    rows = [random.choice(own, min(len(own), most // 2), replace=False) for own in kinds]
    return images.take(np.sort(np.concatenate(rows)))


def run_all(data: Path, out: Path, repeats: int, only: list[str]) -> dict[str, Any]:
    """Do what is wanted and not done yet: set → sweep, set → cnn sweep, and the leaky twin."""
    found: dict[str, Any] = {"classical": {}, "cnn": {}}
    for name, (normal, ratios) in SETS.items():
        images = rs.load(data / name, normal=[normal])
        if wanted(only, "classical", name):
            found["classical"][name] = timed(
                *(f"classical/{name}", rs.compare_imbalances, images, MODELS, BALANCES),
                **{"imbalance": ratios, "repeats": repeats, "out": out / f"{name}-{repeats}"},
            )
        if wanted(only, "cnn", name):
            few = sample(images, CNN_IMAGES)
            (out / "samples").mkdir(parents=True, exist_ok=True)
            few.table.to_csv(out / "samples" / f"{name}.csv", index=False)
            settings = {"imbalance": CNN_RATIOS[name], "folds": CNN_FOLDS, "repeats": repeats}
            found["cnn"][name] = timed(
                *(f"cnn/{name}", rs.compare_imbalances, few, [CNN], CNN_BALANCES),
                **{**settings, "out": out / f"{name}-cnn-{repeats}"},
            )
        if name == "aptos2019" and wanted(only, "leaky", name):
            settings = {"imbalance": 20, "leaky_twin": True, "out": out / f"{name}-leaky"}
            found["leaky"] = timed("leaky", rs.compare, images, ["svm"], ["none", "smote"], **settings)
    return found


def wanted(only: list[str], part: str, name: str) -> bool:
    """Tell whether a part was asked for, by its name or by its name and set."""
    return not only or part in only or f"{part}/{name}" in only


def timed(name: str, call: Any, *arguments: Any, **settings: Any) -> Any:
    """Call, and say how long it took."""
    start = time.perf_counter()
    made = call(*arguments, **settings)
    print(f"{name}: {(time.perf_counter() - start) / 60:.1f} minutes", file=sys.stderr, flush=True)
    return made


def judged_again(name: str, sweep: rs.Sweep, out: Path) -> str:
    """Write a run's predictions as any other tool would, have the command judge them, and hold both together."""
    ratio, run = list(sweep.runs.items())[-1]
    path = out / f"{name}-predictions.csv"
    frame = pd.DataFrame(run.predictions)[JUDGED]
    frame.to_csv(path, index=False)
    drawn = ",".join(r for r in frame["recipe"].unique() if r.startswith("rf"))
    command = [sys.executable, "-m", "raresight", "judge", str(path), "--stochastic", drawn, "--json"]
    start = time.perf_counter()
    text = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    seconds = time.perf_counter() - start
    own = {(v["recipe"], v["metric"]): v for v in run.verdicts if v["against"] == "none"}
    pairs = [(own[v["recipe"], v["metric"]], v) for v in json.loads(text)["verdicts"]]
    same = sum(all(alike(one[key], other[key]) for key in EQUAL) for one, other in pairs)
    words = sum(one["decision"] == other["decision"] for one, other in pairs)
    return (
        f"| {name} at {ratio:g} : 1 | {len(frame):,} | {frame['recipe'].nunique()} | {same} of {len(pairs)} "
        f"| {words} of {len(pairs)} | {seconds:.1f} |"
    )


def alike(one: float | None, other: float | None) -> bool:
    """Tell whether two numbers are the same but for the last digits that a text file cuts off."""
    return one == other or (one is not None and other is not None and bool(np.isclose(one, other, atol=1e-9)))


def judging_time(sweep: rs.Sweep) -> str:
    """Time the judgement of two recipes on a thousand rows, without the start of Python."""
    frame = pd.DataFrame(list(sweep.runs.values())[-1].predictions)[JUDGED]
    frame = frame[
        (frame["repeat"] == 0) & frame["recipe"].isin([f"svm@embedding+{b}" for b in ("none", "smote")])
    ]
    rows = np.random.default_rng(0).permutation(frame["row"].unique())[:1000]
    part = frame[frame["row"].isin(rows)]
    rs.judge(part)
    start = time.perf_counter()
    rs.judge(part)
    return f"{len(rows):,} rows × 2 recipes: {time.perf_counter() - start:.2f} s with Python running (allowed: .5)."


def write(found: dict[str, Any], out: Path) -> None:
    """Write the page and its figures."""
    figures = DOCS / "figures"
    classical, cnn = found["classical"], found["cnn"]
    words, moved = counted(classical)
    lines = [
        "# What SMOTE did",
        "",
        *spaced(headline(found, words, moved)),
        *spaced(method(classical)),
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
        f"`{CNN}` on a random sample of each set, at most {CNN_IMAGES // 2} normal and {CNN_IMAGES // 2} anomalous images, "
        f"{CNN_FOLDS} folds; one network instead of two, as 54 are trained. At 20 : 1 brain_tumor_yesno would leave four "
        "anomalies to train on, too few for SMOTE's five neighbours; it stands at 5 : 1.",
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
        "Each set's predictions at its steepest imbalance, written as CSV and judged by `raresight judge FILE "
        "--baseline none`. The same numbers: difference, both ends of its interval, and p before Holm's correction, to "
        "nine decimals. Words may differ where the run also judged against class weights, as Holm's correction then "
        "counts more pairs.",
        "",
        "| run | predictions | recipes | same numbers | same word | seconds |",
        "|---|---|---|---|---|---|",
        *(judged_again(name, sweep, out) for name, sweep in classical.items()),
        "",
        judging_time(classical["aptos2019"]),
    ]
    (DOCS / "explanation" / "what-smote-did.md").write_text("\n".join(lines) + "\n")
    for extra in figures.glob("what-smote-did-ranking.svg"):
        extra.unlink()


def spaced(sentences: list[str]) -> list[str]:
    return [line for sentence in sentences for line in (sentence, "")]


def method(classical: dict[str, rs.Sweep]) -> list[str]:
    """How it was measured."""
    sets = ", ".join(
        f"{name} ({sweep.summary['data']['images']:,} images)" for name, sweep in classical.items()
    )
    repeats = next(iter(classical.values())).summary["protocol"]["repeats"]
    return [
        f"`python benchmarks/what_smote_did.py`, {time.strftime('%Y-%m-%d')}. Sets: {sets}. Detectors on frozen lite0 "
        f"embeddings: {', '.join(MODELS)}; balances: {', '.join(BALANCES)}; five stratified group folds, near duplicates "
        f"together, {repeats} repeat{'s' * (repeats > 1)}, default settings, no tuning; anomalies dropped from the "
        "training rows until the ratio named, test folds as they are. Verdicts: paired differences over groups, Holm's "
        "correction over a run, margins AUROC ± .01, sensitivity at 95 % specificity ± .02, Brier ± .005."
        + FEW_REPEATS
        * (repeats < ENOUGH_REPEATS),
        "The three sets are not independent: 116 of the 253 images of brain_tumor_yesno, or near twins of them, also "
        "stand in brain_tumor_mri_4class.",
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
    # Not reduced to a palette: two balances would get one colour. About 110 kB.
    small.quantize(256, kmeans=2, dither=Image.Dither.NONE).save(path, optimize=True)
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
    parser.add_argument("--only", default="", help="classical, cnn, leaky, or one with a set: cnn/aptos2019")
    parser.add_argument("--repeats", type=int, default=1, help="of every comparison")
    options = parser.parse_args()
    only = [part for part in options.only.split(",") if part]
    found = run_all(options.data, options.out, options.repeats, only)
    if not only:
        write(found, options.out)


if __name__ == "__main__":
    main()
