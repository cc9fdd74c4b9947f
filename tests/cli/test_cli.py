"""The command line as a user meets it: what it prints, where, and its exit status."""

from __future__ import annotations

import inspect
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import raresight
from raresight.cli.app import app
from raresight.cli.console import guarded

QUICK = ["--models", "logistic", "--balance", "none,smote", "--folds", "3", "--inner-folds", "2"]


def run(*arguments: str) -> int:
    return guarded(app, list(arguments))


def test_compare_prints_a_table_and_where_the_report_is(small_set: Path, tmp_path: Path, capsys):
    assert run("compare", str(small_set), *QUICK, "--out", str(tmp_path / "r")) == 0
    out = capsys.readouterr().out
    assert "logistic@embedding+smote" in out and "auroc" in out
    assert f"report: {tmp_path / 'r' / 'report.html'}" in out
    assert (tmp_path / "r" / "report.html").stat().st_size > 10_000


def test_json_is_one_document_on_stdout_and_nothing_else(small_set: Path, tmp_path: Path, capsys):
    assert run("compare", str(small_set), *QUICK, "--out", str(tmp_path / "r"), "--json") == 0
    captured = capsys.readouterr()
    document = json.loads(captured.out)
    assert [r["balance"] for r in document["recipes"]] == ["none", "smote"]
    assert {"mean", "low", "high"} == set(document["recipes"][0]["metrics"]["auroc"])
    assert "training and testing" in captured.err


def test_report_is_written_again_in_every_form(small_set: Path, tmp_path: Path, capsys):
    run("compare", str(small_set), *QUICK, "--out", str(tmp_path / "r"))
    for form in ("html", "md", "tex"):
        capsys.readouterr()
        assert run("report", str(tmp_path / "r"), "--format", form) == 0
        path = Path(capsys.readouterr().out.strip())
        assert path.suffix == f".{form}" and "logistic" in path.read_text()


@pytest.mark.parametrize("kind", ["samplers", "detectors", "representations", "datasets", "calibrations"])
def test_list_reads_the_registry(kind: str, capsys):
    assert run("list", kind, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) >= 2 and all({"name", "summary", "source"} <= set(row) for row in rows)


def test_the_command_lines_defaults_are_the_librarys():
    from raresight.cli import compare as command
    from raresight.evidence.thresholds import DEFAULT_RULES
    from raresight.experiment.protocol import Protocol

    defaults = {name: p.default for name, p in inspect.signature(command.compare).parameters.items()}
    assert tuple(defaults["thresholds"].split(",")) == DEFAULT_RULES == Protocol().thresholds
    assert defaults["calibration"] == inspect.signature(raresight.compare).parameters["calibration"].default


def test_calibration_rules_and_prevalence_are_taken_from_the_command_line(
    small_set: Path, tmp_path: Path, capsys
):
    options = ["--calibration", "isotonic", "--thresholds", "cost=5,sensitivity=0.9", "--prevalence", "0.1"]
    assert run("compare", str(small_set), *QUICK, *options, "--out", str(tmp_path / "r"), "--json") == 0
    first = json.loads(capsys.readouterr().out)["recipes"][0]
    assert list(first["at"]) == ["default", "cost=5", "sensitivity=0.9"]
    assert first["at_prevalence"]["prevalence"] == 0.1
    page = (tmp_path / "r" / "report.html").read_text()
    assert "Where 10 % are anomalous" in page and "isotonic regression" in page
    for wrong in (["--calibration", "beat"], ["--thresholds", "cost"], ["--prevalence", "1.5"]):
        assert run("compare", str(small_set), *QUICK, *wrong, "--out", str(tmp_path / "s")) == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith("error: ") and wrong[1].rstrip("0") in last


def test_help_starts_quickly_and_imports_nothing_heavy():
    code = "import sys; from raresight.cli.app import app; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "pandas", "sklearn", "numpy"} & set(done.stdout.split())


def one_class(folder: Path) -> None:
    (folder / "only").mkdir(parents=True)
    for i in range(4):
        Image.fromarray(np.full((20, 20), i * 9, np.uint8)).save(folder / f"only/{i}.png")


def few_anomalies(folder: Path) -> None:
    random = np.random.default_rng(0)
    for label, count in (("no", 30), ("yes", 3)):
        (folder / label).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(random.integers(0, 255, (20, 20), np.uint8)).save(folder / f"{label}/{i}.png")


def three_classes(folder: Path) -> None:
    for label in ("a", "b", "c"):
        (folder / label).mkdir(parents=True)
        Image.fromarray(np.zeros((20, 20), np.uint8)).save(folder / f"{label}/0.png")


@pytest.mark.parametrize(
    ("make", "arguments", "sentence"),
    [
        (lambda f: f.mkdir(), [], "no usable image|no image|empty"),
        (lambda f: None, [], "there is no"),
        (one_class, [], "only"),
        (three_classes, [], "say which classes .* are normal with --normal; the classes are: a, b, c"),
        (few_anomalies, [], "only 3 groups .* for 5 folds; use --folds 3"),
        (few_anomalies, ["--folds", "3", "--balance", "smote"], r"too few for SMOTE|SMOTE needs two"),
        (few_anomalies, ["--models", "svn"], "did you mean 'svm'"),
        (few_anomalies, ["--folds", "many"], "integer|int"),
        (few_anomalies, ["--neutralise", "frame"], "'frame'; choose from: border, background, aspect"),
        (few_anomalies, ["--device", "tpu"], "auto.*cpu.*cuda"),
        (few_anomalies, ["--group", "patient"], "patient"),
        (few_anomalies, ["--groups", "patient"], "no column 'patient'"),
        (few_anomalies, ["--task", "multiclass"], "multiclass"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(make, arguments, sentence, tmp_path: Path, capsys):
    import re

    make(tmp_path / "set")
    assert run("compare", str(tmp_path / "set"), *arguments, "--out", str(tmp_path / "r")) == 2
    captured = capsys.readouterr()
    last = captured.err.strip().splitlines()[-1]
    assert last.startswith("error: ") and re.search(sentence, last), captured.err
    assert "Traceback" not in captured.err and captured.out == ""


def test_a_gpu_that_is_not_there_is_refused_before_any_work(
    small_set: Path, tmp_path: Path, capsys, monkeypatch
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert run("compare", str(small_set), *QUICK, "--device", "cuda", "--out", str(tmp_path / "r")) == 2
    assert "no CUDA device" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_debug_shows_the_traceback(tmp_path: Path):
    from raresight.errors import RaresightError

    with pytest.raises(RaresightError):
        run("--debug", "compare", str(tmp_path / "nowhere"))


def test_bad_files_are_listed_and_the_rest_is_carried_on(small_set: Path, tmp_path: Path, capsys):
    import shutil

    folder = shutil.copytree(small_set, tmp_path / "set")
    (folder / "normal/000.png").write_bytes((folder / "normal/000.png").read_bytes()[:200])
    (folder / "normal/001.png").write_text("a text file")
    (folder / "normal/002.png").write_bytes(b"")
    huge = bytearray((folder / "normal/003.png").read_bytes())
    import struct
    import zlib

    header = b"IHDR" + struct.pack(">IIBBBBB", 100_000, 100_000, 8, 0, 0, 0, 0)
    huge[12:33] = header + struct.pack(">I", zlib.crc32(header))
    (folder / "normal/003.png").write_bytes(bytes(huge))
    table = pd.read_csv(folder / "labels.csv")
    table.loc[len(table)] = ["normal/missing.png", "normal"]
    table.to_csv(folder / "labels.csv", index=False)
    Image.fromarray(np.zeros((90, 30, 3), np.uint8)).save(folder / "normal/004.png")
    assert run("compare", str(folder), *QUICK, "--out", str(tmp_path / "r"), "--json") == 0
    rejected = pd.read_csv(tmp_path / "r/rejected.csv").set_index("file")["reason"]
    assert set(rejected.index) == {f"normal/00{i}.png" for i in range(4)} | {"normal/missing.png"}
    assert "megapixel" in rejected["normal/003.png"] or "pixel" in rejected["normal/003.png"]
    assert json.loads(capsys.readouterr().out)["recipes"][0]["n"] == 60


def test_a_group_that_holds_both_classes_is_a_warning(small_set: Path, tmp_path: Path, capsys):
    table = pd.read_csv(small_set / "labels.csv")
    table["file"] = [str(small_set / file) for file in table["file"]]
    table["patient"] = [f"p{i % 20}" for i in range(len(table))]
    table.to_csv(tmp_path / "set.csv", index=False)
    assert (
        run("compare", str(tmp_path / "set.csv"), *QUICK, "--normal", "normal", "--out", str(tmp_path / "r"))
        == 0
    )
    assert "warning: 20 group(s) hold both normal and anomalous images" in capsys.readouterr().err


def test_an_unwritable_out_is_refused(small_set: Path, tmp_path: Path, capsys):
    (tmp_path / "file").write_text("")
    assert run("compare", str(small_set), *QUICK, "--out", str(tmp_path / "file" / "r")) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_full_disk_keeps_what_is_done(small_set: Path, tmp_path: Path):
    """A limit on file size stands in for a full disk: writing fails part of the way."""
    command = [
        sys.executable,
        "-m",
        "raresight",
        "compare",
        str(small_set),
        *QUICK,
        "--out",
        str(tmp_path / "r"),
    ]

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))

    environment = {**os.environ, "RARESIGHT_CACHE": str(tmp_path / "cache")}
    done = subprocess.run(
        command, preexec_fn=limit, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2 and "error: " in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not list((tmp_path / "cache").rglob("store.json"))


def _interrupted(process: subprocess.Popen[str]) -> str:
    """Press Ctrl-C, and again if nothing comes of it: on a loaded machine one was lost twice."""
    for _ in range(4):
        process.send_signal(signal.SIGINT)
        try:
            return process.communicate(timeout=30)[1]
        except subprocess.TimeoutExpired:
            continue
    process.kill()
    return process.communicate()[1]


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done(small_set: Path, tmp_path: Path):
    command = [
        sys.executable,
        "-m",
        "raresight",
        "compare",
        str(small_set),
        "--models",
        "rf",
        "--repeats",
        "40",
    ]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "r")],
        stderr=subprocess.PIPE,
        text=True,
        # A shell's background job, as these tests may be, ignores Ctrl-C, and so do its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 120
    while not list((tmp_path / "r" / "predictions").glob("*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.05)
    errors = _interrupted(process)
    assert process.returncode == 2 and "interrupted" in errors and "Traceback" not in errors, errors
    assert list((tmp_path / "r" / "predictions").glob("*.parquet"))


def test_auto_prints_one_document_with_the_winner(small_set: Path, tmp_path: Path, capsys):
    search = ["auto", str(small_set), "--models", "logistic", "--balance", "none,smote", "--folds", "3"]
    assert run(*search, "--budget", "5", "--workers", "1", "--out", str(tmp_path / "r"), "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["winner"] in printed["finished"]
    assert (tmp_path / "r" / "winner" / "detector.onnx").is_file()
    assert (tmp_path / "r" / "report.html").is_file()
