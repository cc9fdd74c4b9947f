"""Dask workers in network namespaces, with folders of their own: the bytes of a local run, whoever dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

import raresight as rs

PYTHON = sys.executable
COMMAND = ["--models", "logistic,rf", "--balance", "none,smote", "--folds", "3", "--inner-folds", "2"]
OPTIONS = {"models": ["logistic", "rf"], "balance": ["none", "smote"], "folds": 3, "inner_folds": 2}
BRIDGE, NET = "rsbr0", "10.99.0"
PORT = 8786
ADDRESS = f"tcp://{NET}.1:{PORT}"


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


@pytest.fixture(scope="module")
def spaces() -> Iterator[list[str]]:
    """Two network namespaces that reach the bridge and nothing else."""
    if os.geteuid() != 0:
        pytest.skip("making network namespaces needs root")
    names = ["rsworker0", "rsworker1"]
    with ExitStack() as undo:
        ip("link", "add", BRIDGE, "type", "bridge")
        undo.callback(ip, "link", "del", BRIDGE)
        ip("addr", "add", f"{NET}.1/24", "dev", BRIDGE)
        ip("link", "set", BRIDGE, "up")
        for number, name in enumerate(names):
            ip("netns", "add", name)
            undo.callback(ip, "netns", "del", name)
            ip("link", "add", f"rsv{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("link", "set", f"rsv{number}", "master", BRIDGE)
            ip("link", "set", f"rsv{number}", "up")
            ip("-n", name, "addr", "add", f"{NET}.{number + 2}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names


class Cluster:
    """A scheduler and workers, ended by their own ids."""

    def __init__(self, folder: Path, hidden: Path, spaces: list[str]) -> None:
        self.folder, self.hidden, self.spaces = folder, hidden, spaces
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *command: str, **environment: str) -> None:
        self.end(name)
        self.running[name] = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def end(self, name: str) -> None:
        process = self.running.pop(name, None)
        if process is not None:
            process.kill()
            process.wait()

    def scheduler(self) -> None:
        dask = [PYTHON, "-m", "distributed.cli.dask_scheduler"]
        self.start("scheduler", *dask, "--host", f"{NET}.1", "--port", str(PORT), "--no-dashboard")

    def worker(self, number: int) -> None:
        """Start one in its network namespace, where an empty folder hides the client's cache."""
        cache = self.folder / f"cache-{number}"
        cache.mkdir(exist_ok=True)
        dask = f"{PYTHON} -m distributed.cli.dask_worker {ADDRESS} --nthreads 1 --no-nanny --no-dashboard"
        hide = f"mount -t tmpfs tmpfs {self.hidden} && exec {dask} --local-directory {cache}"
        command = ["ip", "netns", "exec", self.spaces[number], "unshare", "-m", "sh", "-c", hide]
        self.start(f"worker-{number}", *command, RARESIGHT_CACHE=str(cache))


@contextmanager
def cluster(folder: Path, hidden: Path, spaces: list[str]) -> Iterator[Cluster]:
    made = Cluster(folder, hidden, spaces)
    try:
        made.scheduler()
        for number in range(2):
            made.worker(number)
        yield made
    finally:
        for name in list(made.running):
            made.end(name)


def contents(run: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((run / "predictions").glob("*.parquet"))}


def compare_far(data: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [PYTHON, "-m", "raresight", "compare", str(data), *COMMAND, "--out", str(out)]
    return subprocess.Popen([*command, "--scheduler", ADDRESS], stdout=subprocess.DEVNULL)


def wait_for(out: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while len(list((out / "predictions").glob("*.parquet"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.timeout(600)
def test_a_cluster_gives_the_bytes_of_a_local_run_whoever_dies(
    small_set: Path, tmp_path: Path, spaces: list[str], monkeypatch: pytest.MonkeyPatch
):
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setenv("RARESIGHT_CACHE", str(own))
    expected = contents(rs.compare(rs.load(small_set), **OPTIONS, out=tmp_path / "local").path)
    assert len(expected) == 12
    with cluster(tmp_path, own, spaces) as running:
        # A worker dies in the middle; then the scheduler and the other worker; all come back.
        client = compare_far(small_set, tmp_path / "a")
        wait_for(tmp_path / "a", 2)
        running.end("worker-0")
        wait_for(tmp_path / "a", 4)
        running.end("scheduler")
        running.end("worker-1")
        running.scheduler()
        for number in range(2):
            running.worker(number)
        assert client.wait(240) == 0
        assert contents(tmp_path / "a") == expected
        for number in range(2):
            (store,) = (tmp_path / f"cache-{number}" / "stores").iterdir()
            assert (store / "store.json").is_file()  # it was sent there: nothing else could have brought it
        # The client dies, and the same command goes on: what is finished is not done again.
        client = compare_far(small_set, tmp_path / "b")
        wait_for(tmp_path / "b", 4)
        client.send_signal(signal.SIGKILL)
        client.wait()
        finished = {p: p.stat().st_mtime_ns for p in (tmp_path / "b" / "predictions").glob("*.parquet")}
        assert compare_far(small_set, tmp_path / "b").wait(240) == 0
        assert contents(tmp_path / "b") == expected
        assert all(p.stat().st_mtime_ns == when for p, when in finished.items())
