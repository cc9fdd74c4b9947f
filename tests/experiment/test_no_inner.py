"""Without inner folds: one fit a fold, the detector's own threshold, and nothing else claimed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import raresight as rs
from raresight.detect.classical import Logistic
from raresight.errors import OptionError, RunError
from raresight.experiment import carry


@pytest.fixture()
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the fits, in this process."""
    count, fit = [], Logistic.fit
    monkeypatch.setattr(Logistic, "fit", lambda self, *a, **k: count.append(1) or fit(self, *a, **k))
    called = lambda function, calls, workers: ((n, function(*call)) for n, call in enumerate(calls))  # noqa: E731
    monkeypatch.setattr(carry, "run_in_workers", called)
    return count


def test_a_fold_takes_one_fit_and_the_report_says_what_is_not_there(small_set, tmp_path: Path, fits):
    options = {"models": ["logistic"], "balance": ["none"], "folds": 3, "inner_folds": 0}
    run = rs.compare(rs.load(small_set), **options, out=tmp_path / "run")
    assert len(fits) == 3
    assert all(set(each) == {"default"} for each in run.thresholds.values())
    with_inner = rs.compare(rs.load(small_set), **{**options, "inner_folds": 2}, out=tmp_path / "inner")
    np.testing.assert_array_equal(run.predictions["score"], with_inner.predictions["score"])
    page = rs.write_report(run).read_text()
    assert "--inner-folds 0" in page and "learned from nothing" in page
    with pytest.raises(RunError, match="--inner-folds 0"):
        run.inner("logistic@embedding+none", 0, 0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"inner_folds": 1}, "--inner-folds 1 is too small"),
        ({"inner_folds": 0, "thresholds": ["f1"]}, "nothing to learn from"),
        ({"inner_folds": 0, "calibration": "beta"}, "nothing to learn from"),
        ({"inner_folds": 0, "tune": 2}, "--tune chooses by inner folds"),
        ({"inner_folds": 0, "models": ["knn"]}, "nothing to learn its threshold from"),
        ({"inner_folds": 0, "balance": ["threshold"]}, "nothing to learn its threshold from"),
    ],
)
def test_what_needs_inner_folds_says_so(small_set, tmp_path: Path, options, words):
    given = {"models": ["logistic"], "balance": ["none"], **options}
    with pytest.raises(OptionError, match=words):
        rs.compare(rs.load(small_set), **given, out=tmp_path / "run")
