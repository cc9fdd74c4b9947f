"""Feedback: kept through crashes and full disks, and evaluated with intervals."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import threading

import numpy as np
import pandas as pd
import pytest

import raresight as rs
from raresight.cli.app import app
from raresight.cli.console import guarded
from raresight.deploy.feedback import FeedbackFullError, FeedbackStore, UnknownImageError, read_rows
from raresight.deploy.feedback_evaluation import evaluate_feedback
from raresight.errors import DataError, InputError, RunError


def remember(store: FeedbackStore, id: str, score: float = 0.5, **changed: object) -> None:
    decision = "anomalous" if score >= 0 else "normal"
    given = {"bundle": "b" * 64, "probability": 0.5, "decision": decision, "threshold": 0.0, **changed}
    store.remember(id, score=score, **given)


@pytest.fixture()
def store(tmp_path):
    store = FeedbackStore(tmp_path / "feedback.sqlite")
    yield store
    store.close()


def filled(store: FeedbackStore, n: int = 60) -> None:
    random = np.random.default_rng(0)
    for number in range(n):
        anomalous = number % 3 == 0
        remember(store, f"{number:032x}", float(random.normal(1.5 if anomalous else -1.5)))
        store.label(f"{number:032x}", "anomalous" if anomalous else "normal")


def test_labels_are_kept_counted_and_changed(store):
    for id in "abc":
        remember(store, id)
    store.label("a", "normal")
    store.label("a", "anomalous")
    store.label("b", "unsure")
    expected = {"predictions": 3, "labelled": 2, "normal": 0, "anomalous": 1, "unsure": 1}
    assert store.summary() == expected
    with pytest.raises(UnknownImageError, match="no prediction is kept under this id"):
        store.label("z", "normal")
    assert issubclass(UnknownImageError, KeyError)
    with pytest.raises(InputError, match="'cancer' is no label"):
        store.label("a", "cancer")
    remember(store, "a", -9.0)  # an id is kept once
    assert read_rows(store.path)[0]["score"] == 0.5


def test_a_killed_process_loses_nothing_that_was_kept(tmp_path):
    path = tmp_path / "feedback.sqlite"
    code = (
        "import sys, os, signal; from raresight.deploy.feedback import FeedbackStore\n"
        "store = FeedbackStore(sys.argv[1])\n"
        "for n in range(50):\n"
        "    known = dict(bundle='b', score=1.0, probability=None, decision='normal', threshold=2.0)\n"
        "    store.remember(str(n), **known)\n"
        "    store.label(str(n), 'normal')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path)], timeout=60)
    assert ended.returncode == -signal.SIGKILL
    store = FeedbackStore(path)
    assert store.summary()["normal"] == 50
    store.close()


def test_a_full_disk_is_one_sentence_and_passes(store):
    remember(store, "first")
    base = store._base
    pages = base.execute("PRAGMA page_count").fetchone()[0]
    base.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(FeedbackFullError, match="make room on its disk"):
        for number in range(1000):
            remember(store, f"{number:032x}")
    base.execute("PRAGMA max_page_count = 1073741823")
    remember(store, "later")
    store.label("first", "normal")


def test_the_file_stays_bounded_and_labels_outlast_the_rest(tmp_path):
    store = FeedbackStore(tmp_path / "small.sqlite", most=50)
    for number in range(200):
        remember(store, str(number))
        if number % 20 == 0:
            store.label(str(number), "normal")
    assert store.summary()["predictions"] <= 50 and store.summary()["normal"] == 10
    with pytest.raises(FeedbackFullError, match="labelled predictions"):
        for number in range(200, 400):
            remember(store, str(number))
            store.label(str(number), "normal")
    store.close()


def test_threads_keep_at_once(store):
    def work(part: int) -> None:
        for number in range(50):
            remember(store, f"{part}-{number}")
            store.label(f"{part}-{number}", "normal")

    threads = [threading.Thread(target=work, args=(part,)) for part in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.summary()["normal"] == 200


@pytest.mark.parametrize("content", [b"no database at all" * 99, None])
def test_what_is_no_feedback_is_refused(tmp_path, content):
    path = tmp_path / "feedback.sqlite"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(RunError, match="cannot be used for feedback"):
        FeedbackStore(path)
    with pytest.raises(RunError, match="feedback"):
        rs.read_feedback(path)


def test_another_version_is_refused(store):
    base = sqlite3.connect(store.path)
    base.execute("PRAGMA user_version = 7")
    base.close()
    with pytest.raises(RunError, match="another raresight"):
        FeedbackStore(store.path)


def test_figures_are_those_of_the_labels(store):
    filled(store)
    remember(store, "referred", decision="refer")
    store.label("referred", "anomalous")
    remember(store, "unsure")
    store.label("unsure", "unsure")
    remember(store, "unlabelled")
    frame = rs.read_feedback(store.path)
    found = evaluate_feedback(frame)
    assert (found["labelled"], found["unsure"]) == (61, 1)
    (one,) = found["bundles"]
    assert (one["n"], one["positives"], one["referred"]) == (60, 20, 1)
    answered = frame[frame["decision"] != "refer"]
    right = (answered["decision"] == "anomalous") == (answered["label"] == 1)
    assert one["metrics"]["accuracy"]["mean"] == pytest.approx(right.mean())
    assert one["metrics"]["sensitivity"]["mean"] == pytest.approx(right[answered["label"] == 1].mean())
    for cell in one["metrics"].values():
        assert cell["low"] <= cell["mean"] <= cell["high"]
    assert any("not a sample" in note for note in found["notes"])


def test_judge_takes_what_is_read(store):
    filled(store)
    frame = rs.read_feedback(store.path)
    both = frame.assign(recipe="served"), frame.assign(recipe="other", score=-frame["score"])
    assert rs.judge(pd.concat(both), baseline="other").verdicts


def test_one_class_and_no_label_are_told(store):
    with pytest.raises(DataError, match="labelled yet"):
        evaluate_feedback(rs.read_feedback(store.path))
    remember(store, "a")
    store.label("a", "anomalous")
    (one,) = evaluate_feedback(rs.read_feedback(store.path))["bundles"]
    assert one["metrics"]["specificity"] == {"mean": None, "low": None, "high": None}


def test_the_command_prints_figures_and_json(store, capsys):
    filled(store)
    assert guarded(app, ["feedback", str(store.path)]) == 0
    shown = capsys.readouterr()
    assert "60 images, 20 of them anomalous" in shown.out and "Sensitivity" in shown.out
    assert "not a sample" in shown.err
    assert guarded(app, ["feedback", str(store.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["labelled"] == 60
    assert guarded(app, ["feedback", str(store.path) + "x"]) == 2
    assert "there is no feedback file" in capsys.readouterr().err
