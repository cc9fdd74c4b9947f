"""The classical grid on one core and on all: speed-up, what the task layer costs, and whether --estimate tells the truth.

    OMP_NUM_THREADS=1 .venv/bin/python benchmarks/grid.py [--data ../shared/data] [--part speed|estimate]

Writes benchmarks/grid.md. Speed: logistic, svm, rf × none, smote × 5 folds on lite0 embeddings of
aptos2019, all cached before, evidence not weighed: workers against a plain loop over the same tasks in this process.
Estimate: three grids from nothing (no cache, no run), `compare --estimate` and then the run that it foretold.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
CORES = os.cpu_count() or 1
GRIDS = {
    "classical, aptos2019": [
        "aptos2019",
        "--normal",
        "No_DR",
        "--models",
        "logistic,svm,rf",
        "--balance",
        "none,smote,borderline",
    ],
    "networks, brain_tumor_yesno": [
        "brain_tumor_yesno",
        "--normal",
        "no",
        "--models",
        "cnn",
        "--balance",
        "none,smote",
        "--folds",
        "3",
        "--preprocess",
        "mri",
    ],
    "one-class, phantoms": [
        "phantom:brain?n=600&anomalies=0.3&difficulty=0.4",
        "--models",
        "knn,padim,ocsvm",
        "--balance",
        "none",
        "--repeats",
        "2",
    ],
}


def tasks_of(data: Path):
    import raresight as rs
    from raresight.experiment.carry import prepare_spaces
    from raresight.experiment.work import plan_work
    from raresight.progress import silent

    images = rs.load(data / "aptos2019", normal=["No_DR"])
    work = plan_work(images, ["logistic", "svm", "rf"], ["none", "smote"], None, folds=5)
    prepare_spaces(work.store, work.tasks, silent)
    return work


def speed(data: Path) -> dict:
    """Seconds of a plain loop, and of the task layer with one worker and with all."""
    from raresight.experiment.carry import calls_of, carry_out
    from raresight.experiment.task import try_task

    work, found = tasks_of(data), {"tasks": 0}
    found["tasks"] = len(work.tasks)
    for name, workers in (("all", CORES), ("one", 1)):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            carry_out(work, Path(folder) / "run", workers, weigh=False)
            found[name] = time.perf_counter() - start
            print(name, found[name], flush=True)
    start = time.perf_counter()
    for call in calls_of(work, work.tasks):
        try_task(*call)
    found["loop"] = time.perf_counter() - start
    return found


def estimate(data: Path, arguments: list[str]) -> dict:
    """Seconds foretold and taken, for a grid from nothing."""
    place = arguments[0] if ":" in arguments[0] else str(data / arguments[0])
    with tempfile.TemporaryDirectory() as scratch:
        told = run([place, *arguments[1:]], Path(scratch) / "a", "--estimate", "--json")
        start = time.perf_counter()
        run([place, *arguments[1:]], Path(scratch) / "b", "--json")
        took = time.perf_counter() - start
    return {"told": 3600 * json.loads(told)["hours"][str(CORES)], "took": took}


def run(arguments: list[str], folder: Path, *more: str) -> str:
    command = [sys.executable, "-m", "raresight", "compare", *arguments, "--out", str(folder / "run"), *more]
    environment = {**os.environ, "RARESIGHT_CACHE": str(folder / "cache")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return done.stdout


def render(found: dict) -> str:
    lines = [
        "# The grid on one core and on all",
        "",
        f"`OMP_NUM_THREADS=1 python benchmarks/grid.py`, {time.strftime('%Y-%m-%d')}, {CORES} cores, {platform.machine()}; load average "
        f"{os.getloadavg()[0]:.1f} at the end.",
        "",
    ]
    if "speed" in found:
        each = found["speed"]
        lines += [
            f"{each['tasks']} tasks on embeddings of aptos2019, each with its inner folds; the start of worker processes is in their time.",
            "",
            "| how | seconds | |",
            "|---|---|---|",
            f"| a plain loop in one process | {each['loop']:.0f} | |",
            f"| the task layer, one worker | {each['one']:.0f} | {100 * (each['one'] / each['loop'] - 1):+.1f} % (allowed: 5 %) |",
            f"| the task layer, {CORES} workers | {each['all']:.0f} | {each['one'] / each['all']:.2f} × one worker (wanted on two cores: 1.7) |",
            "",
        ]
    if "estimate" in found:
        lines += [
            "| grid | foretold, s | taken, s | foretold : taken (wanted: .70–1.30) |",
            "|---|---|---|---|",
        ]
        lines += [
            f"| {name} | {each['told']:.0f} | {each['took']:.0f} | {each['told'] / each['took']:.2f} |"
            for name, each in found["estimate"].items()
        ]
        lines += [
            "",
            "Foretold: from the beginning to the end, as `compare --estimate` prints it; what it did for that counts.",
            "",
        ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--part", choices=["speed", "estimate"])
    parser.add_argument("--kept", type=Path, default=Path(tempfile.gettempdir()) / "raresight-grid.json")
    options = parser.parse_args()
    found = json.loads(options.kept.read_text()) if options.kept.exists() else {}
    if options.part != "estimate":
        found["speed"] = speed(options.data)
    if options.part != "speed":
        found["estimate"] = {name: estimate(options.data, arguments) for name, arguments in GRIDS.items()}
    options.kept.write_text(json.dumps(found))
    (HERE / "grid.md").write_text(render(found))
    print(render(found))


if __name__ == "__main__":
    main()
