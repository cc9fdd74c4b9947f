"""Worker processes: the same results whatever their number, and nothing lost with one that dies."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from raresight.errors import RunError
from raresight.experiment.workers import Lost, run_in_workers


def square(number: int) -> int:
    return number * number


def square_or_die(number: int, deadly: frozenset[int], folder: str, lives: int) -> int:
    """Kill the own process for some numbers, so many times each."""
    died = Path(folder) / str(number)
    deaths = len(died.read_text()) if died.exists() else 0
    if number in deadly and deaths < lives:
        died.write_text("x" * (deaths + 1))
        os.kill(os.getpid(), signal.SIGKILL)
    return square(number)


def test_every_call_is_made_once(tmp_path: Path):
    found = list(run_in_workers(square, [(n,) for n in range(20)], 2))
    assert sorted(found) == [(n, n * n) for n in range(20)]


def test_a_call_whose_worker_dies_once_is_made_again(tmp_path: Path):
    calls = [(n, frozenset({3, 7}), str(tmp_path), 1) for n in range(10)]
    assert sorted(run_in_workers(square_or_die, calls, 2)) == [(n, n * n) for n in range(10)]


def test_a_call_that_always_kills_is_given_up_and_the_rest_goes_on(tmp_path: Path):
    calls = [(n, frozenset({4}), str(tmp_path), 99) for n in range(10)]
    found = dict(run_in_workers(square_or_die, calls, 2))
    assert isinstance(found.pop(4), Lost)
    assert found == {n: n * n for n in range(10) if n != 4}


def test_workers_that_cannot_start_end_the_run(monkeypatch: pytest.MonkeyPatch):
    import raresight.experiment.workers as workers

    monkeypatch.setattr(workers, "_begin", lambda parent: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(RunError, match="die as soon as they start"):
        list(run_in_workers(square, [(1,)], 1))
