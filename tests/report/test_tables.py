"""The paper's table in its three forms."""

from __future__ import annotations

import csv
import io
import re

import pytest

from raresight.evidence.metrics import METRICS
from raresight.evidence.names import data_title
from raresight.report import write_tables
from raresight.report.tables import escape_md, escape_tex, table_csv, table_md, table_tex


def test_the_csv_holds_every_metric_to_six_digits(run):
    rows = list(csv.DictReader(io.StringIO(table_csv(run.metrics, "aptos"))))
    assert [row["recipe"] for row in rows] == [r["recipe"] for r in run.metrics["recipes"]]
    for row, made in zip(rows, run.metrics["recipes"], strict=True):
        for name in METRICS:
            assert float(row[name]) == pytest.approx(made["metrics"][name]["mean"], rel=1e-5)
            assert float(row[f"{name}_low"]) <= float(row[name]) <= float(row[f"{name}_high"])


def test_the_markdown_table_has_the_papers_columns_and_rows(run):
    lines = table_md(run.metrics, "../data/aptos_2019/").splitlines()
    assert lines[0] == "| Model | Dataset | Accuracy | Sensitivity | Specificity | F1 | AUROC |"
    assert lines[2].startswith("| SVM (original) | aptos\\_2019 | .")
    assert len(lines) == 2 + 4
    assert len(re.findall(r"\(\.?\d[.\d]*–[.\d]+\)", lines[2])) == 5


def test_the_latex_table_uses_booktabs_and_has_equal_rows(run):
    text = table_tex(run.metrics, "aptos_2019")
    assert all(rule in text for rule in (r"\toprule", r"\midrule", r"\bottomrule"))
    body = text[text.index(r"\midrule") : text.index(r"\bottomrule")]
    assert {line.count(" & ") for line in body.splitlines() if line.endswith(r"\\")} == {6}
    assert r"aptos\_2019" in text and "–" not in text


def test_undefined_values_are_a_dash_or_empty(run):
    nothing = {"mean": None, "low": None, "high": None}
    run.metrics["recipes"][0]["metrics"]["f1"] = nothing
    row = next(csv.DictReader(io.StringIO(table_csv(run.metrics, "aptos"))))
    assert row["f1"] == row["f1_low"] == ""
    assert " – |" in table_md(run.metrics, "aptos") and "--" in table_tex(run.metrics, "aptos")


def test_names_are_escaped_for_where_they_stand():
    assert escape_tex(r"a_b & 5% {x} \y #1 ~^$") == (
        r"a\_b \& 5\% \{x\} \textbackslash{}y \#1 \textasciitilde{}\textasciicircum{}\$"
    )
    assert escape_md("a|b <i> `x` *y*\nz") == r"a\|b &lt;i&gt; \`x\` \*y\* z"
    assert data_title("C:\\scans\\set") == "set" and data_title("phantom:brain?n=6") == "phantom:brain?n=6"


def test_tables_are_written_into_the_run(run, tmp_path):
    assert [p.name for p in write_tables(run)] == ["table.csv", "table.md", "table.tex"]
    assert (tmp_path / "table.tex").read_text() == table_tex(run.metrics, run.settings["data"]["name"])
