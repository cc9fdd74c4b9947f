"""The main job on the real image sets: how long, how much memory, how good.

    .venv/bin/python benchmarks/compare.py [--data ../shared/data]

Writes benchmarks/compare.md. Every command runs in a process of its own; memory is the largest sum of the
proportional set sizes of that process and its workers, sampled ten times a second.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

HERE = Path(__file__).parent
COMMANDS = {
    "brain_tumor_yesno, cold": "{data}/brain_tumor_yesno --models cnn,svm,rf --balance none,smote",
    "aptos2019, cold": "{data}/aptos2019 --normal No_DR --models svm,rf --balance none,smote",
    "aptos2019, warm store": "{data}/aptos2019 --normal No_DR --models svm,rf --balance none,smote",
    "aptos2019 at 20 : 1, warm store": (
        "{data}/aptos2019 --normal No_DR --models svm --balance none,smote --imbalance 20"
    ),
}
TARGETS = {
    "brain_tumor_yesno, cold": (480, 2.5),
    "aptos2019, cold": (300, None),
    "aptos2019, warm store": (90, None),
    "aptos2019 at 20 : 1, warm store": (None, None),
}
SHOWN = ("accuracy", "sensitivity", "specificity", "f1", "auroc")


def memory(process: psutil.Process) -> int:
    """Sum what a process and its children hold, shared pages counted once."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        try:
            total += one.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return total


def measure(arguments: str, out: Path, cache: Path) -> tuple[float, int, dict]:
    """Run one comparison: seconds, peak bytes, its JSON document."""
    command = [sys.executable, "-m", "raresight", "compare", *shlex.split(arguments), "--groups", "off"]
    environment = {**os.environ, "RARESIGHT_CACHE": str(cache)}
    start, peak = time.perf_counter(), 0
    with (out.with_suffix(".json")).open("w") as stream:
        process = subprocess.Popen([*command, "--out", str(out), "--json"], stdout=stream, env=environment)
        watched = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                peak = max(peak, memory(watched))
            except psutil.NoSuchProcess:
                break
            time.sleep(0.1)
    seconds = time.perf_counter() - start
    if process.returncode:
        raise SystemExit(f"failed: {' '.join(command)}")
    return seconds, peak, json.loads(out.with_suffix(".json").read_text())


def cell(value: dict) -> str:
    """Write a mean with its interval."""
    return f"{value['mean']:.3f} ({value['low']:.3f}–{value['high']:.3f})"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("RARESIGHT_DATA", "../shared/data"))
    data = parser.parse_args().data
    lines = [
        "# The main job on real images",
        "",
        f"`python benchmarks/compare.py`, {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, "
        f"{platform.machine()}, Python {platform.python_version()}. Plain stratified folds (`--groups off`), "
        "no tuning, default thresholds.",
        "",
        "| command | seconds | allowed | peak memory, GB | allowed |",
        "|---|---|---|---|---|",
    ]
    tables: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in COMMANDS.items():
            cache = Path(folder) / name.split(",")[0].split(" ")[0]
            seconds, peak, document = measure(
                arguments.format(data=data), Path(folder) / name.replace(" ", "-"), cache
            )
            time_allowed, memory_allowed = TARGETS[name]
            lines.append(
                f"| {name} | {seconds:.0f} | {time_allowed or '–'} "
                f"| {peak / 1e9:.2f} | {memory_allowed or '–'} |"
            )
            tables += [
                "",
                f"## {name}",
                "",
                f"`raresight compare {arguments.format(data='DATA')} --groups off`",
                "",
            ]
            tables += ["| recipe | " + " | ".join(SHOWN) + " |", "|---" * (len(SHOWN) + 1) + "|"]
            for row in document["recipes"]:
                tables.append(
                    f"| {row['recipe']} | " + " | ".join(cell(row["metrics"][m]) for m in SHOWN) + " |"
                )
            tables += ["", *(f"{sentence}\n" for sentence in document["sentences"])]
            print(lines[-1], flush=True)
    (HERE / "compare.md").write_text("\n".join([*lines, *tables]).rstrip() + "\n")


if __name__ == "__main__":
    main()
