"""Our samplers beside imbalanced-learn's: time, and memory above the loaded data.

    .venv/bin/python benchmarks/balance.py [--runs 5] [--sizes 5000x784,…] [--skip-folds]

Writes benchmarks/balance.md. Times: both libraries in one process, in turns, the best of the runs; ours is the plan
and one lazy epoch (every synthetic row made once, in batches of 64), and for SMOTE the eager array too. Memory: each
side once in a process of its own, peak resident minus what was resident with the data loaded. Both sides may use
every core.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import imblearn
import imblearn.combine
import imblearn.over_sampling
import numpy as np

import raresight.balance as ours

HERE = Path(__file__).parent
SIZES = ((5000, 784), (5000, 12_288), (10_000, 12_288), (3000, 50_176), (2000, 150_528))
SHARE = 0.1
NAMES = ("SMOTE", "BorderlineSMOTE", "ADASYN", "SMOTEENN", "SMOTETomek")
TARGETS = {"SMOTE": 20, "BorderlineSMOTE": 6, "ADASYN": 6, "SMOTEENN": 10, "SMOTETomek": 10}
MEMORY = {"SMOTE": 1 / 15}
FOLDS = 5
NOTES = (
    "What falls short, and why. SMOTE's theirs is nearly all page faults of float64 temporaries; where the kernel hands out "
    "huge pages, as here, they cost less than on the machine of the design's 27 ×, and ours is bound by writing every "
    "synthetic row once. The eager array has to copy the originals too. Borderline and ADASYN need every minority row's "
    "distance to every row: at 5,000 × 12,288 that exact float32 product alone takes .35 s at the processor's full 173 "
    "GFLOPS, a sixth of theirs, before anything else is done. Tried without gain: accumulating in sgemm, smaller "
    "blocks, centring in threads, batches in threads, chunked rows, torch.lerp. At 784 features a Gram matrix of all rows "
    "outweighs the rows, so that the hybrids take more memory than theirs there."
)
PATIENCE = 10
"""Where theirs takes more seconds than this, two runs are enough to tell."""
LONG = 60
"""And here one."""


def data(n: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Images in all but name: smooth rows of float32 in which the rare class lies apart a little."""
    random = np.random.default_rng(0)
    y = np.zeros(n, int)
    y[: int(n * SHARE)] = 1
    hidden = random.normal(size=(n, 32)).astype(np.float32) + 0.5 * y[:, None].astype(np.float32)
    X = np.empty((n, d), np.float32)
    mixing = random.normal(size=(32, d)).astype(np.float32)
    for start in range(0, n, 500):
        block = slice(start, start + 500)
        X[block] = hidden[block] @ mixing
        X[block] += random.normal(0, 3, (len(X[block]), d)).astype(np.float32)
    order = random.permutation(n)
    return X[order], y[order]


def theirs(name: str) -> Callable[[np.ndarray, np.ndarray], object]:
    """Give imbalanced-learn's way."""
    module = imblearn.combine if name in ("SMOTEENN", "SMOTETomek") else imblearn.over_sampling
    sampler = getattr(module, name)(random_state=0)
    return lambda X, y: sampler.fit_resample(X, y)


def lazily(name: str) -> Callable[[np.ndarray, np.ndarray], object]:
    """Give ours: a plan, then every synthetic row once."""

    def run(X: np.ndarray, y: np.ndarray) -> int:
        plan = getattr(ours, name)(random_state=0).plan(X, y)
        return sum(len(batch) for batch in plan.batches(X, size=64))

    return run


def eagerly(name: str) -> Callable[[np.ndarray, np.ndarray], object]:
    """Give ours as one array, as imbalanced-learn does."""
    sampler = getattr(ours, name)(random_state=0)
    return lambda X, y: sampler.fit_resample(X, y)


def seconds(function: Callable[[np.ndarray, np.ndarray], object], X: np.ndarray, y: np.ndarray) -> float:
    """Time one call."""
    start = time.perf_counter()
    function(X, y)
    return time.perf_counter() - start


def in_turns(name: str, X: np.ndarray, y: np.ndarray, runs: int) -> dict[str, float]:
    """Best seconds of each way, taken in turns."""
    ways = {"theirs": theirs(name), "ours": lazily(name)}
    if name == "SMOTE":
        ways["eager"] = eagerly(name)
    best = dict.fromkeys(ways, float("inf"))
    for run in range(runs):
        if (run >= 2 and best["theirs"] > PATIENCE) or (run >= 1 and best["theirs"] > LONG):
            break
        for way, function in ways.items():
            best[way] = min(best[way], seconds(function, X, y))
    return best


def peak_above_data(way: str, name: str, n: int, d: int) -> float:
    """Peak resident bytes above the loaded data, in a process of its own."""
    command = [sys.executable, __file__, "--measure", way, name, str(n), str(d)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def measure(way: str, name: str, n: int, d: int) -> None:
    """Run one way once and print its peak above the data."""
    X, y = data(n, d)
    small = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    function = {"theirs": theirs, "ours": lazily}[way](name)
    function(small, np.arange(60) % 6 // 5)  # imports and pools are not the sampler's
    before = resident()
    reset_peak()
    function(X, y)
    print(peak() - before)


def resident() -> int:
    """Resident bytes now."""
    return status("VmRSS")


def peak() -> int:
    """Largest resident bytes since `reset_peak`."""
    return status("VmHWM")


def reset_peak() -> None:
    """Forget the peak."""
    Path("/proc/self/clear_refs").write_text("5")


def status(field: str) -> int:
    """Read a line of /proc/self/status, in bytes."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith(field))
    return int(line.split()[1]) * 1024


def cross_validation(n: int, d: int) -> tuple[float, float]:
    """Five samplers on five folds, in full on both sides: ours from one Gram matrix."""
    from raresight.balance.neighbours import Gram

    X, y = data(n, d)
    fold = np.arange(n) % FOLDS
    start = time.perf_counter()
    whole = Gram.of(X)
    for f in range(FOLDS):
        train = np.flatnonzero(fold != f)
        rows, labels, gram = X[train], y[train], whole.take(train)
        for name in NAMES:
            plan = getattr(ours, name)(random_state=0).plan(rows, labels, gram=gram)
            for _ in plan.batches(rows, size=64):
                pass
    quick = time.perf_counter() - start
    start = time.perf_counter()
    for f in range(FOLDS):
        train = np.flatnonzero(fold != f)
        for name in NAMES:
            theirs(name)(X[train], y[train])
    return quick, time.perf_counter() - start


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--sizes", default=",".join(f"{n}x{d}" for n, d in SIZES))
    parser.add_argument("--skip-folds", action="store_true")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        way, name, n, d = chosen.measure
        measure(way, name, int(n), int(d))
        return
    for size in filter(None, chosen.sizes.split(",")):
        n, d = (int(part) for part in size.split("x"))
        X, y = data(n, d)
        for name in NAMES:
            write(chosen.runs, row(name, X, y, chosen.runs))
        del X
    if not chosen.skip_folds:
        quick, slow = cross_validation(5000, 12_288)
        write(
            chosen.runs,
            f"Five samplers × five folds at 5,000 × 12,288, in full on both sides: ours {quick:.1f} s from one Gram "
            f"matrix, theirs {slow:.0f} s: {slow / quick:.0f} × (target 70 ×).",
        )


def row(name: str, X: np.ndarray, y: np.ndarray, runs: int) -> str:
    """Measure one sampler at one size: a row of the table."""
    n, d = X.shape
    best = in_turns(name, X, y, runs)
    memory = {way: peak_above_data(way, name, n, d) / 1e6 for way in ("theirs", "ours")}
    target = f"{TARGETS[name]}" if d >= 12_288 else "1"
    eager = f"{best['theirs'] / best['eager']:.1f}" if "eager" in best else ""
    return (
        f"| {n} × {d} | {name} | {best['theirs']:.2f} | {best['ours']:.3f} "
        f"| {best['theirs'] / best['ours']:.1f} | {target} | {eager} | {memory['theirs']:.0f} "
        f"| {memory['ours']:.0f} | {memory['ours'] / memory['theirs']:.3f} | {MEMORY.get(name, 0.5):.3f} |"
    )


def write(runs: int, line: str) -> None:
    """Put a line into balance.md in the place of the one it renews, so that sizes can be measured one by one."""
    print(line, flush=True)
    path = HERE / "balance.md"
    old = path.read_text().splitlines() if path.exists() else []
    kept = {key(text): text for text in old if key(text)}
    kept[key(line)] = line
    rows = [kept[wanted] for n, d in SIZES for name in NAMES if (wanted := f"| {n} × {d} | {name} |") in kept]
    head = [
        "# Samplers beside imbalanced-learn",
        "",
        f"`python benchmarks/balance.py --runs {runs}`, {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, "
        f"{platform.machine()}, Python {platform.python_version()}, imbalanced-learn {imblearn.__version__}. "
        f"float32 rows, {SHARE:.0%} minority; best of {runs} runs taken in turns, of 2 where theirs takes "
        f"over {PATIENCE} s, of 1 over {LONG} s. The first run of a process also pays for fresh pages of memory, which the best leaves out.",
        "",
        "| rows × features | sampler | theirs, s | ours, s | ratio | target | eager ratio "
        "| theirs, MB | ours, MB | share | target |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    folds = [kept["Five"]] if "Five" in kept else []
    notes = [NOTES] if NOTES else []
    path.write_text("\n".join([*head, *rows, "", *folds, "", *notes]) + "\n")


def key(line: str) -> str:
    """Tell lines that renew each other: a row by size and sampler, the folds' sentence."""
    if line.startswith("Five samplers"):
        return "Five"
    parts = line.split("|")
    return f"|{parts[1]}|{parts[2]}|" if len(parts) > 10 and parts[2].strip() in NAMES else ""


if __name__ == "__main__":
    main()
