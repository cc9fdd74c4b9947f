"""``raresight check-table`` as a user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from raresight.cli.app import app
from raresight.cli.console import guarded

PAPER_ROW = ["--accuracy", "85.2%", "--sensitivity", "80.5%", "--specificity", "89.9%", "--f1"]


def run(*arguments: str) -> int:
    return guarded(app, ["check-table", *arguments])


def test_the_status_tells_an_impossible_row_from_a_possible_one(capsys):
    assert run(*PAPER_ROW, "82.3%") == 1
    out = capsys.readouterr().out
    assert "impossible" in out and "F1 .823 contradicts accuracy, sensitivity and specificity" in out
    assert "at a prevalence of .400" in out and "with 5 folds" in out
    assert run(*PAPER_ROW, "84.5%") == 0
    assert "One confusion matrix gives every figure" in capsys.readouterr().out


def test_json_is_one_document(tmp_path: Path, capsys):
    table = tmp_path / "t.md"
    table.write_text(
        "| Model | Acc | Sens | Spec | F1 |\n|---|---|---|---|---|\n| a | .852 | .805 | .899 | .823 |\n"
    )
    assert run(str(table), "--json", "--folds", "3") == 1
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert row["model"] == "a" and row["consistent"] is False and row["implied_prevalence"] == 0.5
    assert row["expected"] == {"f1": 0.845} and list(row["fold_spread"]) == ["3"]


def test_what_cannot_be_read_is_one_sentence_and_status_2(tmp_path: Path, capsys):
    assert run(str(tmp_path / "missing.csv")) == 2
    assert run() == 2 and run(str(tmp_path / "t.csv"), "--f1", ".8") == 2
    assert run("--f1", "much") == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 4 and all(line.startswith("error: ") for line in lines)


def test_the_core_install_is_enough():
    code = (
        "import sys; from raresight.cli.app import app; from raresight.cli.console import guarded;"
        "guarded(app, ['check-table', '--accuracy', '.9', '--f1', '.8']);"
        "assert not {'numpy', 'pandas', 'scipy', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
