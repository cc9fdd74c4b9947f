"""Ten minutes at saturation: errors, memory, and the slowest answers of `raresight serve`.

    .venv/bin/python benchmarks/soak.py [--minutes 10] [--clients 96] [--queue 64]

Writes benchmarks/soak.md. More clients than the queue holds, on loopback: some are told 429 and come again when they are
asked to. The bundle: lite0 + SVM, that refers images too; images: phantoms, as JPEG, PNG and TIFF in turn, one in fifty damaged.
"""

from __future__ import annotations

import argparse
import io
import os
import platform
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "parts"))
sys.path.insert(0, str(HERE))

from http_load import multipart, raw, saturate  # noqa: E402

from serve import free_port, running, until_it_answers  # noqa: E402

WARM = 60.0
"""Seconds until memory counts."""


def contents(images) -> list[bytes]:
    """Give images as files, of several formats, one in fifty cut short."""
    found = []
    for row in range(len(images)):
        stream = io.BytesIO()
        Image.fromarray(images.read(row)).save(stream, format=("JPEG", "PNG", "TIFF")[row % 3])
        content = stream.getvalue()
        found.append(content[: len(content) // 2] if row % 50 == 49 else content)
    return found


def watch(process: psutil.Process, taken: list[tuple[float, int]], over: threading.Event) -> None:
    start = time.perf_counter()
    while not over.wait(1):
        taken.append((time.perf_counter() - start, process.memory_info().rss))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=96)
    parser.add_argument("--queue", type=int, default=64)
    options = parser.parse_args()
    import raresight as rs

    images = rs.load("phantom:brain?n=150&anomalies=0.4&difficulty=0.3&seed=1")
    made = rs.train(images, "svm", "none", preprocess="mri", refer=["novelty", "conformal=0.1"])
    sent = contents(images)
    requests = [
        raw("/v1/predict", one) if k % 2 else multipart("/v1/predict", [("a", one)])
        for k, one in enumerate(sent)
    ]
    taken: list[tuple[float, int]] = []
    over = threading.Event()
    with tempfile.TemporaryDirectory() as folder:
        bundle, port = made.save(Path(folder) / "bundle"), free_port()
        command = [sys.executable, "-m", "raresight", "serve", str(bundle), "--port", str(port)]
        command += ["--queue", str(options.queue), "--state", f"{folder}/state"]
        with running(command, port) as process:
            until_it_answers(port, requests[0])
            watcher = threading.Thread(target=watch, args=(psutil.Process(process.pid), taken, over))
            watcher.start()
            connections, seconds = saturate(port, requests, options.clients, 60 * options.minutes)
            over.set()
            watcher.join()
    counts = Counter(status for each in connections for status in each.statuses)
    accepted = np.sort(
        [
            s
            for each in connections
            for s, status in zip(each.seconds, each.statuses, strict=True)
            if status == 200
        ]
    )
    p50, p99 = (1000 * float(np.quantile(accepted, share)) for share in (0.5, 0.99))
    early = max(size for when, size in taken if when <= WARM)
    late = max(size for _, size in taken)
    lines = [
        "# Ten minutes at saturation",
        "",
        f"`python benchmarks/soak.py --minutes {options.minutes:g} --clients {options.clients} --queue {options.queue}`, "
        f"{time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, {platform.machine()}; load average {os.getloadavg()[0]:.1f} at the end. "
        f"{made.refit.fitted.recipe.id} with rules that refer, drift and feedback kept; clients on the same cores.",
        "",
        "| what | measured | wanted |",
        "|---|---|---|",
        f"| seconds | {seconds:.0f} | 600 |",
        f"| answers by status | {', '.join(f'{status}: {count:,}' for status, count in sorted(counts.items()))} | 200, 429; 422 for the damaged |",
        f"| accepted, images a second | {counts[200] / seconds:.1f} | |",
        f"| p50, p99 of accepted, ms | {p50:.0f}, {p99:.0f} | p99 at most 5 × p50: {p99 / p50:.2f} |",
        f"| resident memory after {WARM:.0f} s, at the most, MB | {early / 1e6:.0f}, {late / 1e6:.0f} | growth at most 5 %: "
        f"{100 * (late / early - 1):+.1f} % |",
        "",
    ]
    (HERE / "soak.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
