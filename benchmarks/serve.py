"""How much does serving cost? One client and 32, beside bare ONNX Runtime, LitServe and plain FastAPI.

    pip install -r benchmarks/peers/requirements.txt
    .venv/bin/python benchmarks/serve.py [--data ../shared/data] [--rounds 3]

Writes benchmarks/serve.md. Every server stands around the same lite0 + SVM bundle at 224 pixels, decodes with the same
function, gets the same bytes over loopback, and runs alone, one after the other in each round, on the cores that the
clients use too. Clients are raw sockets in one thread (benchmarks/parts/http_load.py). The bare figures are of this
process: decode and run one image after the other; and decode in a pool, run in batches.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE / "parts"))

from http_load import Connection, multipart, raw, saturate  # noqa: E402

CLIENTS, SECONDS = 32, 12.0
BLOCKS, ASKED, WARM, REST = 6, 30, 5, 0.2
OWN = "raresight serve"
PEERS = {
    "LitServe": "litserve_onnx.py",
    "FastAPI + ONNX Runtime": "fastapi_onnx.py",
    "FastAPI + PyTorch": "fastapi_torch.py",
}
CORES = os.cpu_count() or 1


def settings_of(name: str) -> list[dict]:
    """Give the configurations in which a server is tried; the best one counts, for each figure."""
    several = [{"workers": workers} for workers in sorted({1, CORES})]
    if name == "LitServe":
        return [{**each, "batch": batch} for each in several for batch in (1, 16)]
    return several


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(command: list[str], port: int, **environment: str):
    """Start a server, wait until it listens, and end it."""
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if process.poll() is not None:
                    raise SystemExit(f"{command} ended with {process.returncode}") from None
                time.sleep(0.1)
        yield process
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def until_it_answers(port: int, request: bytes) -> None:
    """Wait until it answers with 200: some listen before their model is loaded."""
    for _ in range(600):
        try:
            one = Connection(port)
            one.ask(request)
            if one.statuses == [200]:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise SystemExit("a server never answered")


class Bare:
    """Decoding and ONNX Runtime in this process."""

    def __init__(self, bundle: Path, threads: int) -> None:
        import onnxruntime

        import raresight as rs

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.prepare = rs.Predictor(bundle, threads=1).prepare
        self.session = onnxruntime.InferenceSession(
            bundle / "detector.onnx", options, providers=["CPUExecutionProvider"]
        )

    def run(self, pixels):
        return self.session.run(["score"], {"pixels": pixels})[0]

    def one(self, content: bytes) -> float:
        return float(self.run(self.prepare(content)[None])[0])

    def many(self, contents: list[bytes], batch: int) -> float:
        """Images a second: a pool decodes ahead while batches run."""
        import numpy as np

        start = time.perf_counter()
        with ThreadPoolExecutor(CORES) as pool:
            futures = [pool.submit(self.prepare, content) for content in contents]
            for first in range(0, len(contents), batch):
                self.run(np.stack([each.result() for each in futures[first : first + batch]]))
        return len(contents) / (time.perf_counter() - start)


def latencies(port: int, requests: list[bytes], bare: Bare, contents: list[bytes]) -> dict[str, list[float]]:
    """Ask one at a time, and in turn, a block each, do the same barely: milliseconds of both.

    In blocks with a rest between them, since ONNX Runtime's threads go on spinning for a while after a call.
    """
    one = Connection(port)
    found: dict[str, list[float]] = {"served": [], "bare": []}
    for block in range(BLOCKS):
        numbers = [(block * ASKED + k) % len(contents) for k in range(ASKED)]
        time.sleep(REST)
        for k, number in enumerate(numbers):
            start = time.perf_counter()
            bare.one(contents[number])
            if k >= WARM:
                found["bare"].append(1000 * (time.perf_counter() - start))
        time.sleep(REST)
        for k, number in enumerate(numbers):
            one.ask(requests[number])
            if k >= WARM:
                found["served"].append(1000 * one.seconds[-1])
    assert set(one.statuses) == {200}, one.statuses
    one.socket.close()
    return found


def measure(name: str, settings: dict, bundle: Path, head: Path, contents: list[bytes], bare: Bare) -> dict:
    """Start a server, ask it one at a time and with many clients, and end it."""
    port = free_port()
    if name.startswith(OWN):
        command = [sys.executable, "-m", "raresight", "serve", str(bundle), "--port", str(port)]
        make = raw if settings["body"] == "raw" else None
        path = "/v1/predict"
    else:
        command = [sys.executable, str(HERE / "peers" / PEERS[name])]
        make, path = None, "/predict"
    requests = [
        make(path, content) if make else multipart(path, [("image.jpg", content)]) for content in contents
    ]
    environment = {"PEER_BUNDLE": bundle, "PEER_PORT": port, "PEER_HEAD": head} | {
        f"PEER_{key.upper()}": value for key, value in settings.items()
    }
    with running(command, port, **{key: str(value) for key, value in environment.items()}):
        until_it_answers(port, requests[0])
        alone = latencies(port, requests, bare, contents)
        saturate(port, requests, CLIENTS, 2)
        connections, seconds = saturate(port, requests, CLIENTS, SECONDS)
    statuses = [status for each in connections for status in each.statuses]
    taken = sorted(second for each in connections for second in each.seconds)
    assert set(statuses) == {200}, set(statuses)
    return {
        "alone": statistics.median(alone["served"]),
        "bare": statistics.median(alone["bare"]),
        "rate": len(statuses) / seconds,
        "p50": 1000 * statistics.median(taken),
        "p99": 1000 * taken[int(0.99 * len(taken))],
    }


def make_bundle(data: Path, folder: Path) -> tuple[Path, Path, list[bytes]]:
    """Train the bundle; give it, the SVM's numbers for PyTorch, and the images to send."""
    import numpy as np

    import raresight as rs

    images = rs.load(data / "brain_tumor_yesno", normal=["no"])
    made = rs.train(images, "svm", "none", preprocess="mri")
    fitted = made.refit.fitted
    machine = fitted.detector.classifier_
    head = folder / "head.npz"
    np.savez(
        head,
        mean=fitted.scaler.mean_,
        scale=fitted.scaler.scale_,
        vectors=machine.support_vectors_.astype(np.float64),
        weights=machine.dual_coef_[0],
        intercept=machine.intercept_,
        gamma=np.float64(machine.gamma),
    )
    contents = [(data / "brain_tumor_yesno" / file).read_bytes() for file in images.files[::2]]
    return made.save(folder / "bundle"), head, contents


def table(found: dict[str, list[tuple[dict, dict]]], bare_rate: float) -> list[str]:
    """Write a row a server and configuration, and mark what counts."""
    own = found[OWN][0]
    lines = [
        "| server | configuration | one client, median ms | × bare | 32 clients, images a second | × bare | p50, p99 ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, tried in found.items():
        for settings, each in tried:
            told = ", ".join(f"{key} {value}" for key, value in settings.items()) or "default"
            lines.append(
                f"| {name} | {told} | {each['alone']:.2f} | {each['alone'] / each['bare']:.2f} | {each['rate']:.1f} | "
                f"{each['rate'] / bare_rate:.2f} | {each['p50']:.0f}, {each['p99']:.0f} |"
            )
    lines += [
        "",
        "Ratios of the default `raresight serve` (multipart) to each peer's best configuration, for each figure:",
        "",
    ]
    lines += ["| peer | its latency × ours | our throughput × its |", "|---|---|---|"]
    for name in PEERS:
        latency = min(each["alone"] / each["bare"] for _, each in found[name])
        rate = max(each["rate"] for _, each in found[name])
        lines.append(
            f"| {name} | {latency / (own[1]['alone'] / own[1]['bare']):.2f} | {own[1]['rate'] / rate:.2f} |"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, default=HERE.parent.parent / "shared" / "data")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", help="a server's name begins so")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        bundle, head, contents = make_bundle(options.data, Path(scratch))
        bare = Bare(bundle, CORES)
        every = [(OWN, {"body": body}) for body in ("multipart", "raw")]
        every += [(name, settings) for name in PEERS for settings in settings_of(name)]
        if options.only:
            every = [each for each in every if each[0].startswith(options.only)]
        rounds: list[list[dict]] = [[] for _ in every]
        rates: dict[int, list[float]] = {8: [], 16: [], 32: []}
        for _ in range(options.rounds):
            for batch, kept in rates.items():
                kept.append(bare.many(contents * 4, batch))
            for kept, (name, settings) in zip(rounds, every, strict=True):
                kept.append(measure(name, settings, bundle, head, contents, bare))
                print(name, settings, {key: round(value, 2) for key, value in kept[-1].items()}, flush=True)
    medians = {batch: statistics.median(kept) for batch, kept in rates.items()}
    print("bare", {key: round(value, 1) for key, value in medians.items()})
    found: dict[str, list[tuple[dict, dict]]] = {}
    for kept, (name, settings) in zip(rounds, every, strict=True):
        middle = {key: statistics.median(each[key] for each in kept) for key in kept[0]}
        found.setdefault(name, []).append((settings, middle))
    if options.only:
        print(json.dumps(found, indent=1))
        return
    best = max(medians, key=lambda batch: medians[batch])
    own = found[OWN][0][1]
    lines = [
        "# What serving costs",
        "",
        f"`python benchmarks/serve.py --rounds {options.rounds}`, {time.strftime('%Y-%m-%d')}, {CORES} cores, {platform.machine()}, "
        f"Python {platform.python_version()}; load average {os.getloadavg()[0]:.1f} at the end. lite0 + SVM at 224 pixels on images of "
        f"brain_tumor_yesno; medians of {options.rounds} rounds. Every server in turn, alone, with the clients on the same cores.",
        "",
        f"Bare, in this process: one image decoded and run, {own['bare']:.2f} ms (beside `raresight serve`; each row's own bare figure is "
        f"taken in turn with it); decoded in a pool and run in batches of 8, 16, 32: "
        f"{', '.join(f'{value:.1f}' for value in medians.values())} images a second. × bare is against batches of {best}, the best.",
        "",
        *table(found, medians[best]),
        "",
        f"Asked for: latency at one client at most 1.15 × bare ({own['alone'] / own['bare']:.2f}), throughput at 32 clients at least "
        f".80 of bare ({own['rate'] / medians[best]:.2f}).",
        "",
    ]
    (HERE / "serve.md").write_text("\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
