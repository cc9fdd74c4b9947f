"""Published tables: what is impossible is found, what is possible is left in peace."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import raresight as rs
from raresight.errors import DataError, OptionError
from raresight.evidence.confusion import RATIOS, Cone, Interval, whole_counts
from raresight.evidence.published_table import check_table

PAPER = """Models are compared using metrics such as accuracy, sensitivity, specificity, and F1-score.

Model\tDataset\tAccuracy\tSensitivity\tSpecificity\tF1-Score
CNN (Original)\tBrain Tumor MRI\t85.2%\t80.5%\t89.9%\t82.3%
CNN (SMOTE)\tBrain Tumor MRI\t91.4%\t89.7%\t93.1%\t90.5%
SVM (Original)\tAPTOS 2019\t78.6%\t75.0%\t82.2%\t76.8%
SVM (SMOTE)\tAPTOS 2019\t84.3%\t81.5%\t87.1%\t82.9%

Table 1: Performance Comparison
"""
METRICS = tuple(name for name in RATIOS if name != "prevalence")


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    (tmp_path / "paper.txt").write_text(PAPER)
    return tmp_path / "paper.txt"


def value(metric: str, cells: tuple[int, ...]) -> Fraction | None:
    above, below = (sum(w * c for w, c in zip(part, cells, strict=True)) for part in RATIOS[metric])
    return Fraction(above, below) if below else None


def printed(number: Fraction | None, digits: int, percent: bool, undefined: str = "0") -> str:
    """Print as a program does, through a float; what is undefined by a convention."""
    number = Fraction(undefined) if number is None else number
    return f"{100 * float(number):.{digits}f}%" if percent else f"{float(number):.{digits}f}"


def test_the_papers_table_is_impossible_in_every_row(paper):
    found = rs.check_table(paper)
    assert not found.consistent and not any(row["consistent"] for row in found.rows)
    assert [row["implied_prevalence"] for row in found.rows] == [0.5] * 4
    assert [row["expected"] for row in found.rows] == [{"f1": f} for f in (0.845, 0.913, 0.778, 0.838)]
    for row, f1 in zip(found.rows, (".823", ".905", ".768", ".829"), strict=True):
        assert f"F1 {f1} contradicts accuracy, sensitivity and specificity" in row["reason"]


def test_other_readings_of_the_paper_and_what_they_imply_across_rows(paper):
    found = check_table(paper)
    assert all(row["readings"] == ["balanced_accuracy", "fold_mean"] for row in found.rows)
    assert [row["balanced_prevalence"]["value"] for row in found.rows] == [0.4, 0.447, 0.467, 0.46]
    brain, aptos = found.across
    assert brain["dataset"] == "Brain Tumor MRI" and not brain["agree"]
    assert aptos["dataset"] == "APTOS 2019" and aptos["agree"]
    assert "from .400 (CNN (Original)) to .447 (CNN (SMOTE)), which one test set cannot" in brain["sentence"]


def test_counts_that_are_stated_rule_readings_out(paper):
    row = {"accuracy": ".852", "sensitivity": ".805", "specificity": ".899", "f1": ".823"}
    (found,) = check_table({**row, "n": 253, "positives": 155}).rows
    assert not found["consistent"] and found["balanced_prevalence"] is None
    (found,) = check_table({**row, "n": 2000, "positives": 800}).rows
    assert found["readings"] == ["balanced_accuracy"]  # folds of 40 % anomalies make no accuracy of .852


def test_a_contradiction_with_the_stated_positives_is_told_as_one():
    row = {"accuracy": ".852", "sensitivity": ".805", "specificity": ".899", "f1": ".845"}
    assert check_table(row).consistent
    (found,) = check_table({**row, "n": 253, "positives": 155}).rows
    assert not found["consistent"]
    assert "imply a prevalence of .500 (.497–.505), but 155 of 253 is .613" in found["reason"]


def test_figures_of_no_whole_counts_are_found():
    row = {"accuracy": ".90", "sensitivity": ".90", "specificity": ".90", "n": 10, "positives": 5}
    (found,) = check_table(row).rows
    assert not found["consistent"] and "whole counts" in found["reason"]
    assert check_table({**row, "n": 20, "positives": 10}).consistent


def test_an_accuracy_outside_sensitivity_and_specificity_is_blamed():
    (found,) = check_table({"acc": "95.0", "sens": "80.5", "spec": "89.9"}).rows
    assert not found["consistent"] and found["readings"] == []
    assert found["reason"].startswith("Accuracy .950 contradicts sensitivity and specificity")
    assert found["expected_range"] == {"accuracy": [0.8045, 0.8995]}


def test_precision_recall_and_f1_are_checked_without_a_confusion_matrix():
    assert check_table({"Precision": ".80", "Recall": ".60", "F1 score": ".69"}).consistent
    (found,) = check_table({"Precision": ".80", "Recall": ".60", "F1 score": ".75"}).rows
    assert not found["consistent"] and found["expected"]["f1"] == pytest.approx(0.686, abs=0.002)


cells = st.one_of(
    st.tuples(*[st.integers(0, 40)] * 4),
    st.tuples(*[st.integers(0, 30_000)] * 4),
    st.tuples(st.just(0), st.just(0), st.integers(0, 50), st.integers(0, 50)),
    st.tuples(st.integers(0, 50), st.just(0), st.integers(0, 50), st.just(0)),
).filter(any)
chosen = st.lists(st.sampled_from(METRICS), min_size=2, max_size=6, unique=True)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    cells,
    chosen,
    st.integers(1, 4),
    st.booleans(),
    st.sampled_from(["none", "n", "both"]),
    st.sampled_from("01"),
)
def test_a_correct_row_raises_no_alarm(matrix, names, digits, percent, counts, undefined):
    row = {name: printed(value(name, matrix), digits, percent, undefined) for name in names}
    if counts != "none":
        row["n"] = str(sum(matrix))
    if counts == "both":
        row["positives"] = str(matrix[0] + matrix[1])
    (found,) = check_table(row).rows
    assert found["consistent"] and "single" in found["readings"], found["reason"]
    for name, (low, high) in found["expected_range"].items():
        true = value(name, matrix)
        assert true is None or low - 1e-4 <= true <= high + 1e-4


@settings(max_examples=80, deadline=None)
@given(
    st.tuples(*[st.integers(3, 4000)] * 4),
    st.integers(2, 3),
    st.integers(1, 300),
    st.booleans(),
    st.booleans(),
)
def test_a_falsified_f1_is_found(matrix, digits, units, up, with_counts):
    names = ("accuracy", "sensitivity", "specificity")
    row = {name: printed(value(name, matrix), digits, False) for name in names}
    bounds = {name: rounding(text) for name, text in row.items()}
    # The bounds come from a grid over what the figures may stand for, not from the code under test.
    possible = f1_on_a_grid(bounds)
    unit = Fraction(1, 10**digits)
    false = possible[1] + (2 + units) * unit if up else possible[0] - (2 + units) * unit
    if not 0 <= false <= 1:
        return
    row["f1"] = f"{float(false):.{digits}f}"
    if with_counts:
        row |= {"n": str(sum(matrix)), "positives": str(matrix[0] + matrix[1])}
    (found,) = check_table(row).rows
    assert not found["consistent"]


def rounding(text: str) -> Interval:
    half = Fraction(1, 2 * 10 ** len(text.partition(".")[2]))
    return Interval(max(Fraction(text) - half, Fraction(0)), min(Fraction(text) + half, Fraction(1)))


def f1_on_a_grid(bounds: dict[str, Interval]) -> tuple[Fraction, Fraction]:
    """Bound F1 by what corners of sensitivity and specificity and all prevalences near them give."""
    s, c, a = bounds["sensitivity"], bounds["specificity"], bounds["accuracy"]
    shares = [Fraction(i, 2000) for i in range(2001)]
    fits = [
        p
        for p in shares
        if p * s.low + (1 - p) * c.low <= a.high + Fraction(1, 1000)
        and p * s.high + (1 - p) * c.high >= a.low - Fraction(1, 1000)
    ]
    low, high = min(fits), max(fits)

    def f1(share: Fraction, hit: Fraction, passed: Fraction) -> Fraction:
        below = share * hit + share + (1 - share) * (1 - passed)
        return 2 * share * hit / below if below else Fraction(0)

    return f1(low, s.low, c.low), f1(high, s.high, c.high)


@settings(max_examples=60, deadline=None)
@given(st.tuples(*[st.integers(0, 9)] * 4).filter(any), chosen, st.integers(-3, 3))
def test_whole_counts_agree_with_trying_every_matrix(matrix, names, nudge):
    n, positives = sum(matrix), matrix[0] + matrix[1]
    figures = {name: rounding(printed(value(name, matrix), 2, False)) for name in names}
    first = names[0]
    moved = Fraction(nudge, 100)
    shifted = Interval(
        max(figures[first].low + moved, Fraction(0)), min(figures[first].high + moved, Fraction(1))
    )
    figures[first] = shifted
    every = (
        (tp, positives - tp, n - positives - tn, tn)
        for tp in range(positives + 1)
        for tn in range(n - positives + 1)
    )

    def fits(candidate):
        values = {name: value(name, candidate) for name in figures}
        return all(
            (0 in figures[name] or 1 in figures[name]) if v is None else v in figures[name]
            for name, v in values.items()
        )

    found = whole_counts(figures, n, positives)
    assert (found is not None) == any(map(fits, every))
    assert found is None or fits(found)
    if found is not None:
        assert Cone(figures).possible and whole_counts(figures, n) is not None


def test_agrees_with_mlscorecheck_on_rows_with_counts():
    pytest.importorskip("mlscorecheck", reason="mlscorecheck, the oracle of this test, is not installed")
    from mlscorecheck.check.binary import check_1_testset_no_kfold

    short = {"accuracy": "acc", "sensitivity": "sens", "specificity": "spec", "f1": "f1", "precision": "ppv"}
    verdicts = []
    for tp, tn, shift in [
        (40, 70, 0),
        (40, 70, 1),
        (13, 22, 0),
        (13, 22, 2),
        (55, 91, 1),
        (31, 8, 0),
        (31, 8, -1),
    ]:
        p, n = tp + 9, tn + 14
        figures = {m: round(float(value(m, (tp, 9, 14, tn))), 3) for m in short}
        figures["f1"] = round(figures["f1"] + shift / 1000, 3)
        theirs = check_1_testset_no_kfold(
            testset={"p": p, "n": n}, scores={short[m]: v for m, v in figures.items()}, eps=0.0005
        )
        ours = check_table({**{m: f"{v:.3f}" for m, v in figures.items()}, "n": p + n, "positives": p})
        assert ours.consistent == (not theirs["inconsistency"])
        verdicts.append(ours.consistent)
    assert True in verdicts and False in verdicts


def test_folds_out_of_range_are_refused():
    with pytest.raises(OptionError, match="folds is 1; give a number from 2 to 100"):
        check_table({"accuracy": ".9", "f1": ".8"}, folds=1)


def test_rows_of_one_set_that_contradict_each_other_are_told_apart_from_rows_that_do_not():
    rows = [
        {"model": "a", "dataset": "x", "accuracy": ".860", "sensitivity": ".800", "specificity": ".900"},
        {"model": "b", "dataset": "x", "accuracy": ".840", "sensitivity": ".800", "specificity": ".900"},
        {"model": "c", "dataset": "y", "accuracy": ".850", "sensitivity": ".800", "specificity": ".900"},
    ]
    found = check_table(rows)
    assert found.consistent
    (group,) = found.across
    assert group["models"] == ["a", "b"] and not group["agree"] and group["reading"] == "single"


def test_nothing_to_check_is_one_sentence():
    with pytest.raises(DataError, match="no figure to check"):
        check_table({"model": "a"})
