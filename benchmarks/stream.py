"""15 GB of colour images, memory-mapped, balanced and streamed once: how much anonymous memory does it take?

    .venv/bin/python benchmarks/stream.py [--images 100000] [--folder /tmp]

Writes benchmarks/stream.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from raresight.balance import SMOTE

HERE = Path(__file__).parent
SHAPE = (224, 224, 3)
ALLOWED = 3e9


def anonymous() -> int:
    """Give the anonymous resident bytes; mapped pages don't count."""
    line = next(x for x in Path("/proc/self/status").read_text().splitlines() if x.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


def write_images(path: Path, count: int) -> None:
    """Write noise images, no two alike, in blocks."""
    random = np.random.default_rng(0)
    tile = random.integers(0, 200, (64, *SHAPE), np.uint8)
    with path.open("wb") as stream:
        for start in range(0, count, len(tile)):
            shift = random.integers(0, 55, (len(tile), 1, 1, 1)).astype(np.uint8)
            stream.write((np.roll(tile, start // 64, axis=1) + shift)[: count - start].tobytes())


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    chosen = parser.parse_args()
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.05):
            peak = max(peak, anonymous())

    with tempfile.TemporaryDirectory(dir=chosen.folder) as folder:
        path = Path(folder) / "images.u8"
        write_images(path, chosen.images)
        X = np.memmap(path, np.uint8, "r", shape=(chosen.images, *SHAPE))
        y = np.zeros(chosen.images, int)
        y[np.random.default_rng(1).choice(chosen.images, chosen.images // 20, replace=False)] = 1
        threading.Thread(target=watch, daemon=True).start()
        start = time.perf_counter()
        plan = SMOTE(random_state=0).plan(X, y)
        planned = time.perf_counter() - start
        made = sum(len(batch) for batch in plan.batches(X, size=64))
        streamed = time.perf_counter() - start - planned
        done.set()
        size = path.stat().st_size
    text = (
        f"# Streaming more than memory\n\n`python benchmarks/stream.py --images {chosen.images}`, "
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}.\n\n"
        f"{chosen.images:,} images of 224 × 224 × 3 uint8 ({size / 1e9:.1f} GB on disk, memory-mapped), 5 % minority: "
        f"plan {planned:.0f} s, {made:,} synthetic images streamed in {streamed:.0f} s; peak anonymous memory "
        f"{peak / 1e9:.2f} GB (allowed {ALLOWED / 1e9:.0f}).\n"
    )
    print(text)
    (HERE / "stream.md").write_text(text)


if __name__ == "__main__":
    main()
