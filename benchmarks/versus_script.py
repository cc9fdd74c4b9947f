"""End to end beside the script a good engineer would write today: time, memory, and the same metrics.

    .venv/bin/python benchmarks/versus_script.py [--data ../shared/data] [--sets aptos2019,brain_tumor_mri_4class]

Writes benchmarks/versus_script.md. `raresight compare` and benchmarks/peers/plain_script.py, each a process of its own, one
after the other: 6 samplers × 4 detectors × 5 folds on lite0 embeddings, cold (nothing cached) and warm (embeddings kept),
and SMOTE with an SVM and a forest on pixels at 96. The script gets raresight's folds. raresight searches for duplicates
besides, weighs its evidence with intervals and writes its report; inner folds, which the script has not, are off.
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

import psutil

HERE = Path(__file__).parent
SETS = {"aptos2019": "No_DR", "brain_tumor_mri_4class": "notumor"}
SAMPLERS = "none,random-over,random-under,smote,borderline,adasyn"
DETECTORS = "logistic,svm,rf,boosting"
PIXELS = ("svm,rf", "none,smote")


def watched(command: list[str], environment: dict[str, str]) -> tuple[float, int, str]:
    """Run a command: its seconds, the most memory that it and its children had at once, and what it printed."""
    start, peak = time.perf_counter(), 0
    with tempfile.TemporaryFile() as out:
        process = psutil.Popen(
            command, stdout=out, stderr=subprocess.DEVNULL, env={**os.environ, **environment}
        )
        while process.poll() is None:
            try:
                family = [process, *process.children(recursive=True)]
                peak = max(peak, sum(_private(each) for each in family))
            except psutil.Error:
                pass
            time.sleep(0.1)
        took = time.perf_counter() - start
        out.seek(0)
        printed = out.read().decode()
    if process.returncode != 0:
        raise SystemExit(f"{command} ended with {process.returncode}: {printed[-500:]}")
    return took, peak, printed


def _private(process: psutil.Process) -> int:
    """Memory that is the process's own share of what is resident: shared pages are counted once."""
    return process.memory_full_info().pss


def ours(data: Path, normal: str, out: Path, cache: Path, models: str, balance: str, *more: str):
    command = [
        sys.executable,
        "-m",
        "raresight",
        "compare",
        str(data),
        "--normal",
        normal,
        "--models",
        models,
    ]
    command += ["--balance", balance, "--inner-folds", "0", "--out", str(out), "--json", *more]
    took, peak, printed = watched(command, {"RARESIGHT_CACHE": str(cache)})
    found = json.loads(printed)["recipes"]
    return took, peak, {f"{r['model']}+{r['balance']}": r["metrics"]["auroc"]["mean"] for r in found}


def theirs(plan: Path, *more: str):
    took, peak, printed = watched(
        [sys.executable, str(HERE / "peers" / "plain_script.py"), str(plan), *more], {}
    )
    return took, peak, {name: each["roc_auc"] for name, each in json.loads(printed)["metrics"].items()}


def write_plan(data: Path, run: Path, plan: Path) -> None:
    """Give the script the files and folds of a run."""
    import raresight as rs

    found = rs.Run(run).predictions
    one = found[found["recipe"] == found["recipe"].iloc[0]].sort_values("row")
    plan.write_text(
        json.dumps(
            {
                "folder": str(data),
                "files": one["file"].tolist(),
                "y": one["label"].astype(int).tolist(),
                "folds": one["fold"].tolist(),
            }
        )
    )


def measured(name: str, data: Path, scratch: Path) -> list[str]:
    """Measure a set: rows of the table."""
    folder, normal = data / name, SETS[name]
    cache, plan, kept = scratch / "cache", scratch / "plan.json", scratch / "kept.npy"
    found = []
    for how in ("cold", "warm"):
        own = ours(folder, normal, scratch / how, cache, DETECTORS, SAMPLERS)
        if how == "cold":
            write_plan(folder, scratch / how, plan)
        found.append((f"embeddings, {how}", own, theirs(plan, "--kept", str(kept))))
        print(found[-1], flush=True)
    models, balance = PIXELS
    own = ours(
        folder,
        normal,
        scratch / "pixels",
        scratch / "pixel-cache",
        models,
        balance,
        "--representation",
        "pixels",
        "--size",
        "96",
    )
    peer = theirs(plan, "--space", "pixels", "--samplers", balance, "--detectors", models)
    found.append(("pixels at 96, cold", own, peer))
    print(found[-1], flush=True)
    rows = []
    for what, (mine, my_peak, my_auroc), (other, its_peak, its_auroc) in found:
        apart = max(abs(my_auroc[key] - its_auroc[key]) for key in my_auroc)
        rows.append(
            f"| {name} | {what} | {len(my_auroc)} | {mine:.0f} | {other:.0f} | **{other / mine:.1f}** | {my_peak / 1e9:.2f} | "
            f"{its_peak / 1e9:.2f} | {my_peak / its_peak:.2f} | {apart:.3f} |"
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--sets", default=",".join(SETS))
    options = parser.parse_args()
    rows = []
    for name in options.sets.split(","):
        with tempfile.TemporaryDirectory() as scratch:
            rows += measured(name, options.data, Path(scratch))
    lines = [
        "# Beside a plain script",
        "",
        f"`python benchmarks/versus_script.py --sets {options.sets}`, {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, "
        f"{platform.machine()}; load average {os.getloadavg()[0]:.1f} at the end. Recipes × 5 folds; end to end, raresight's "
        "duplicates, evidence and report included. Memory: the most that a process and its children had at once, shared pages "
        "counted once. AUROC: largest difference of any recipe; raresight's is of all images together, the script's the mean of folds.",
        "",
        "| set | what | recipes | raresight, s | script, s | × | raresight, GB | script, GB | share | AUROC apart |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *rows,
        "",
    ]
    (HERE / "versus_script.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
