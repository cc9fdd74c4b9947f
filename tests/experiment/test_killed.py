"""A run that is killed at any moment goes on from there and ends in the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = ["--models", "logistic,rf", "--balance", "none,smote", "--folds", "3", "--inner-folds", "2"]


def start(data: Path, out: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "raresight", "compare", str(data), *COMMAND, "--out", str(out)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def contents(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((out / "predictions").glob("*.parquet"))}


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
def test_killed_at_several_moments_it_ends_in_the_same_bytes(small_set: Path, tmp_path: Path):
    assert start(small_set, tmp_path / "whole").wait() == 0
    expected = contents(tmp_path / "whole")
    assert len(expected) == 12
    out = tmp_path / "killed"
    for wanted in (0, 2, 5, 9):
        process = start(small_set, out)
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if len(list((out / "predictions").glob("*.parquet"))) >= wanted and (
                wanted or (out / "run.json").exists()
            ):
                break
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
    finished = {p: p.stat().st_mtime_ns for p in (out / "predictions").glob("*.parquet")}
    assert len(finished) >= 9
    assert start(small_set, out).wait() == 0
    assert contents(out) == expected
    assert all(p.stat().st_mtime_ns == when for p, when in finished.items())
