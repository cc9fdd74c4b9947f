"""How fast a bundle answers: cold start, one image at a time, many, and with heatmaps; and whether it answers alike.

    .venv/bin/python benchmarks/predict.py [--data ../shared/data] [--threads 1]

Writes benchmarks/predict.md. The bundle: lite0 + SVM with SMOTE on brain_tumor_yesno. Beside it, in the same process and
in turn: the bare ONNX Runtime call on the same graph after decoding and resizing with Pillow, without preprocessing,
checks, calibration or decision.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
RUNS = 9
ROUNDS = 5
BATCH = 16


def cold(bundle: Path, image: Path) -> list[tuple[float, float]]:
    """Run the command anew: (seconds, seconds of processor) each time."""
    found = []
    for _ in range(RUNS):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "raresight", "predict", str(bundle), str(image)],
            check=True,
            capture_output=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        found.append((time.perf_counter() - start, used))
    return found


class Bare:
    """Decode, resize, and run the graph; nothing else."""

    def __init__(self, bundle: Path, channels: int, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        path = bundle / "detector.onnx"
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.channels = channels

    def decode(self, path: Path):
        import numpy as np
        from PIL import Image

        image = Image.open(path).convert("L" if self.channels == 1 else "RGB").resize((224, 224))
        return np.asarray(image).reshape(224, 224, self.channels)

    def one(self, path: Path):
        return self.session.run(["score"], {"pixels": self.decode(path)[None]})

    def many(self, paths: list[Path]):
        import numpy as np

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            images = list(pool.map(self.decode, paths))
        for start in range(0, len(images), BATCH):
            self.session.run(["score"], {"pixels": np.stack(images[start : start + BATCH])})


def timed(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def warm(predictor, bare: Bare, paths: list[Path]) -> dict[str, float]:
    """Median milliseconds an image of both, image by image in turn, and with heatmaps where there are any."""
    found: dict[str, list[float]] = {"bundle": [], "bare": [], "heat": []}
    predictor.predict(paths[0], heat=predictor.has_heat)
    bare.one(paths[0])
    for path in paths:
        found["bundle"].append(timed(lambda path=path: predictor.predict(path)))
        found["bare"].append(timed(lambda path=path: bare.one(path)))
        if predictor.has_heat:
            found["heat"].append(timed(lambda path=path: predictor.predict(path, heat=True)))
    return {name: 1000 * statistics.median(each) for name, each in found.items() if each}


def throughput(predictor, bare: Bare, paths: list[Path]) -> dict[str, float]:
    """Images a second of both, in turn: medians of `ROUNDS`."""
    found: dict[str, list[float]] = {"bundle": [], "bare": []}
    for _ in range(ROUNDS):
        found["bundle"].append(len(paths) / timed(lambda: predictor.predict(paths)))
        found["bare"].append(len(paths) / timed(lambda: bare.many(paths)))
    return {name: statistics.median(each) for name, each in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    import numpy as np

    import raresight as rs

    images = rs.load(options.data / "brain_tumor_yesno", normal=["no"])
    made = rs.train(images, "svm", "smote", preprocess="mri")
    with tempfile.TemporaryDirectory() as folder:
        bundle = made.save(Path(folder) / "bundle")
        size = sum(path.stat().st_size for path in bundle.rglob("*")) / 1e6
        paths = [options.data / "brain_tumor_yesno" / file for file in images.files]
        starts = cold(bundle, paths[0])
        predictor = rs.Predictor(bundle, threads=options.threads)
        bare = Bare(bundle, predictor.facts.shape[2], options.threads)
        opened = statistics.median(timed(lambda: rs.Predictor(bundle)) for _ in range(RUNS))
        one = warm(predictor, bare, paths[:60])
        many = throughput(predictor, bare, paths)
        scores = np.array([each.score for each in predictor.predict(paths)])
    own = made.refit.fitted.score(made.refit.store, np.arange(len(images)))
    apart = float(np.abs(scores - own).max())
    seconds, used = (statistics.median(each) for each in zip(*starts, strict=True))
    lines = [
        "# A bundle's answers, timed",
        "",
        f"`python benchmarks/predict.py --threads {options.threads}`, {time.strftime('%Y-%m-%d')}, "
        f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}; load average "
        f"{os.getloadavg()[0]:.1f} at the end (other work ran beside it where this is above {os.cpu_count()}). "
        f"{made.refit.fitted.recipe.id} on brain_tumor_yesno, {len(images)} images; the bundle has {size:.0f} MB.",
        "",
        "| what | bundle | bare decoding and ONNX Runtime | ratio |",
        "|---|---|---|---|",
        f"| cold `raresight predict BUNDLE one.jpg`, median of {RUNS}, s (allowed: 1.5) | {seconds:.2f} | – | – |",
        f"| quickest of them, s | {min(each[0] for each in starts):.2f} | – | – |",
        f"| processor time of it, s | {used:.2f} | – | – |",
        f"| opening the bundle, hashes and all, s | {opened:.2f} | – | – |",
        f"| one image, warm, median of 60, ms | {one['bundle']:.1f} | {one['bare']:.1f} | "
        f"{one['bundle'] / one['bare']:.2f} |",
        f"| with its heatmap, ms | {one['heat']:.1f} | {one['bare']:.1f} | {one['heat'] / one['bare']:.2f} |",
        f"| many images, images a second | {many['bundle']:.0f} | {many['bare']:.0f} | "
        f"{many['bundle'] / many['bare']:.2f} |",
        "",
        f"Largest difference between a file's score by the bundle and by the fitted recipe, over all {len(images)} "
        f"images: {apart:.1e} (allowed: 1e-4).",
        "",
    ]
    (HERE / "predict.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
