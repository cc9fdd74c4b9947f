"""Reading printed tables, however they are set."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from raresight.errors import DataError
from raresight.evidence.printed import read_figure, read_printed, rows_of

MARKDOWN = """Some words | with a bar.

| Model | Accuracy (%) | Sensitivity / Recall | **Spec.** | F1 score |
| :--- | ---: | ---: | ---: | ---: |
| **SVM** \\| none | **85.2** | 80.5% | .899 (.88–.91) | 0.823 ± 0.01 |
| *section* | | | | |
| CNN | 91.4 | 89.7% | .931 | – |

After it.
"""
CSV = 'method,cohort,N,Positives,ACC,TPR,TNR,PPV,NPV\n"A, b",x,"1,253",155,0.85,0.80,0.90,0.9,0.8\n'
SEMICOLONS = "Model;Accuracy;F1\nA;0,852;0,823\n"
COPIED = """Table 2: results
Model Dataset Accuracy Sensitivity Specificity F1 Score
CNN (Original) Brain Tumor MRI 85.2% 80.5% 89.9% 82.3%
SVM APTOS 2019 78.6% 75.0% 82.2% 76.8%
The results indicate that 2 models are better.
"""
GAPS = "Model      Accuracy   F1\nour model    0.852    0.823\n"


def read(folder: Path, text: str, name: str = "table.txt"):
    (folder / name).write_text(text)
    return read_printed(folder / name)


def values(row) -> dict[str, float]:
    return {name: float(figure.value) for name, figure in row.figures.items()}


def test_markdown(tmp_path):
    svm, cnn = read(tmp_path, MARKDOWN)
    assert svm.model == "SVM | none" and cnn.model == "CNN"
    assert values(svm) == {"accuracy": 0.852, "sensitivity": 0.805, "specificity": 0.899, "f1": 0.823}
    assert (
        read(tmp_path, "| Model | Acc | F1 |\n|-|-|-|\n| *a &amp; b*: c | .9 | .8 |\n")[0].model == "a & b: c"
    )
    assert set(values(cnn)) == {"accuracy", "sensitivity", "specificity"}


def test_csv_with_counts_and_synonyms(tmp_path):
    (row,) = read(tmp_path, CSV, "t.csv")
    assert (row.model, row.dataset, row.n, row.positives) == ("A, b", "x", 1253, 155)
    assert values(row) == {
        **{"accuracy": 0.85, "sensitivity": 0.8, "specificity": 0.9},
        **{"precision": 0.9, "npv": 0.8},
    }


def test_semicolons_with_decimal_commas(tmp_path):
    (row,) = read(tmp_path, SEMICOLONS)
    assert values(row) == {"accuracy": 0.852, "f1": 0.823}


def test_text_copied_out_of_a_page(tmp_path):
    cnn, svm = read(tmp_path, COPIED)
    assert cnn.model == "CNN (Original) Brain Tumor MRI" and values(svm)["f1"] == 0.768
    (row,) = read(tmp_path, GAPS)
    assert row.model == "our model" and values(row) == {"accuracy": 0.852, "f1": 0.823}


def test_two_tables_in_one_file(tmp_path):
    rows = read(tmp_path, GAPS + "\nwords between\n\n" + SEMICOLONS)
    assert [row.model for row in rows] == ["our model", "A"]


@pytest.mark.parametrize(
    ("cell", "percent", "low", "high", "places"),
    [
        ("85.2%", False, "0.8515", "0.8525", 3),
        ("85.2", False, "0.8515", "0.8525", 3),
        (".852", False, "0.8515", "0.8525", 3),
        ("0·85", False, "0.845", "0.855", 2),
        ("1", True, "0.005", "0.015", 2),
        ("1.0", False, "0.95", "1", 1),
        ("0", False, "0", "0.5", 0),
        ("100%", False, "0.995", "1", 2),
        ("85.2 ± 1.3", False, "0.8515", "0.8525", 3),
    ],
)
def test_rounding_follows_from_the_printed_digits(cell, percent, low, high, places):
    figure = read_figure(cell, percent=percent)
    assert (figure.interval.low, figure.interval.high) == (Fraction(low), Fraction(high))
    assert figure.places == places


def test_percentages_without_a_sign_are_known_by_their_column():
    rows = rows_of(
        [{"acc": "85.2", "sens": "0.0", "f1": "0.823"}, {"acc": "91.4", "sens": "1.0", "f1": "0.9"}]
    )
    assert values(rows[1]) == {"accuracy": 0.914, "sensitivity": 0.01, "f1": 0.9}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("only words\n", "holds no table"),
        ("Model,Accuracy,F1\n", "holds no table"),
        ("Model,Accuracy,F1\nA,0.9\n", "line 2, has 2 cells where the heading in line 1 has 3"),
        ("Model,Accuracy,F1\nA,852,0.9\n", "row 'A': '852' is neither a fraction"),
        ("Model,Accuracy,F1\nA,-0.2,0.9\n", "row 'A': '-0.2' is neither a fraction"),
        ("Model,Recall,Sensitivity\nA,0.2,0.9\n", "columns 'Recall' and 'Sensitivity' both mean sensitivity"),
        ("Model,Accuracy,F1,n\nA,0.9,0.9,12.5\n", "n is '12.5', not a whole number above 0"),
        ("Model,Accuracy,F1,n,positives\nA,0.9,0.9,12,13\n", "positives need an n that is not smaller"),
    ],
)
def test_what_makes_no_sense_is_named(tmp_path, text, said):
    with pytest.raises(DataError, match=said):
        read(tmp_path, text)


def test_a_file_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "t.pdf").write_bytes(b"%PDF-1.4\xff\xfe")
    for path in (tmp_path / "t.pdf", tmp_path / "missing.csv", tmp_path):
        with pytest.raises(DataError, match="cannot read"):
            read_printed(path)
