"""A local grid killed at random moments, again and again, ends in the bytes of an undisturbed run."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

KILLS = 50
COMMAND = [
    "--models",
    "logistic,svm,rf",
    "--balance",
    "none,smote,borderline",
    "--folds",
    "5",
    "--inner-folds",
    "2",
]
TASKS = 3 * 3 * 5 * 2


def start(data: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "raresight",
        "compare",
        str(data),
        *COMMAND,
        "--repeats",
        "2",
        "--out",
        str(out),
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def contents(out: Path) -> dict[str, bytes]:
    rooms = ("predictions", "thresholds", "inner")
    return {str(p.relative_to(out)): p.read_bytes() for room in rooms for p in sorted((out / room).iterdir())}


@pytest.mark.timeout(1500)
def test_fifty_kills_change_no_byte(small_set: Path, tmp_path: Path):
    assert start(small_set, tmp_path / "whole").wait(300) == 0
    expected = contents(tmp_path / "whole")
    assert len(expected) == 3 * TASKS
    out, chance = tmp_path / "killed", random.Random(0)
    kills, when = 0, {}
    while kills < KILLS:
        process = start(small_set, out)
        time.sleep(chance.uniform(0.2, 4.5))
        if process.poll() is not None:  # it came to its end: begin anew, so that every kill hits work
            assert process.returncode == 0 and contents(out) == expected
            out = tmp_path / f"killed-{kills}"
            continue
        process.kill()
        process.wait()
        kills += 1
        # What was finished before stays as it is: nothing is done twice.
        found = {p: p.stat().st_mtime_ns for p in out.glob("predictions/*.parquet")}
        assert all(found[path] == stamp for path, stamp in when.items() if path.is_relative_to(out))
        when = found
    assert start(small_set, out).wait(300) == 0
    assert contents(out) == expected
