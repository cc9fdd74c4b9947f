"""The page across image sets and its critical-difference diagram."""

from __future__ import annotations

import re

import matplotlib as mpl
import numpy as np
import pytest

import raresight as rs
from raresight.cli.app import app
from raresight.cli.console import guarded
from raresight.errors import DataError, OptionError
from raresight.evidence.ranking import BalanceRanking
from raresight.report.figures import render
from raresight.report.ranking import ranking_figure, ranking_sentences
from raresight.report.theme import PAPER


def ranking(ranks, reach, sets=14):
    count = len(ranks)
    return BalanceRanking(
        "auroc",
        tuple(f"balance-{i}" for i in range(count)),
        tuple(f"set-{i}" for i in range(sets)),
        (1,) * sets,
        np.full((sets, count), 0.9),
        np.array(ranks, float),
        0.02,
        reach,
    )


def drawn(found):
    figure = ranking_figure(found, PAPER)
    (panel,) = figure.axes
    return panel, {text.get_text(): text for text in panel.texts}


def test_the_best_stands_on_the_right_and_bars_join_what_is_not_told_apart():
    panel, texts = drawn(ranking([1.2, 1.9, 3.4, 3.5], 1.0))
    left, right = panel.get_xlim()
    assert left > right  # rank 1 on the right, as in Demšar's figure
    names = [f"balance-{i}" for i in range(4)]
    places = {name: next(t for label, t in texts.items() if label.startswith(name)) for name in names}
    assert places["balance-0"].get_position()[0] < 1 and places["balance-3"].get_position()[0] > 4
    # Lines to names do not cross: the best and the worst leave the axis nearest to it.
    assert places["balance-0"].get_position()[1] < places["balance-1"].get_position()[1]
    assert places["balance-3"].get_position()[1] < places["balance-2"].get_position()[1]
    bars = [sorted(line.get_xdata()) for line in panel.lines if line.get_linewidth() == 4]
    assert np.allclose(bars, [[1.14, 1.96], [3.34, 3.56]])
    assert "balance-2  3.40" in texts and "CD 1.00" in texts


def test_a_critical_difference_wider_than_the_axis_is_said_to_be():
    _, texts = drawn(ranking([1.0, 2.0, 3.0], 1.9, sets=3))
    assert "CD 1.90" in texts
    _, texts = drawn(ranking([1.0, 2.0, 3.0], 2.5, sets=2))
    assert "CD 2.50, wider than the axis" in texts


def test_the_same_ranking_is_the_same_picture():
    found = ranking([1.0, 2.0, 3.0, 4.0, 5.0], 2.0)
    with mpl.rc_context():
        one, other = (render(lambda p: ranking_figure(found, p), PAPER, "r", "svg") for _ in range(2))
    assert one == other


def test_few_sets_are_called_few():
    assert any("With 3 sets the test has little power" in s for s in ranking_sentences(ranking([1, 2], 1, 3)))
    assert not any("little power" in s for s in ranking_sentences(ranking([1, 2], 0.5)))


def test_the_page_shows_ranks_and_each_sets_verdicts(two_sets, tmp_path):
    path = rs.write_ranking(two_sets, tmp_path)
    text = path.read_text()
    assert path.name == "ranking.html" and text.count("<svg") == 1
    assert not re.search(r"https?://", text) and "<b>" not in text and "two_&lt;b&gt;" in text
    assert "20 : 1" in text and "as it is" in text and text.count("svm@embedding+smote") == 2
    assert 1000 < (tmp_path / "figures" / "ranking.svg").stat().st_size < 200_000
    assert (tmp_path / "figures" / "ranking.png").stat().st_size < 200_000
    table = rs.write_ranking(two_sets, tmp_path / "r.md").read_text()
    assert "| SMOTE |" in table and "figures/ranking.svg" in table
    assert rs.write_ranking(two_sets, tmp_path).read_text() == text
    with pytest.raises(OptionError, match="html, md"):
        rs.write_ranking(two_sets, tmp_path / "r.tex")
    with pytest.raises(DataError, match="at least 2 image sets"):
        rs.write_ranking(two_sets[:1], tmp_path)


def test_several_runs_on_the_command_line(small_set, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, normal in (("one", 40), ("two", 30)):
        rows = small_set_rows(small_set, normal)
        settings = {"models": ["logistic"], "balance": ["none", "random-over"], "folds": 3, "inner_folds": 2}
        rs.compare(rs.load(small_set).take(rows), **settings, out=tmp_path / name)
    assert guarded(app, ["report", "one", "two"]) == 0
    assert "ranking.html" in capsys.readouterr().out and (tmp_path / "ranking.html").is_file()
    assert guarded(app, ["report", "one", "two", "--out", "r.md", "--format", "md"]) == 0
    capsys.readouterr()
    assert guarded(app, ["report", "one", "one"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def small_set_rows(small_set, normal):
    """All anomalies and the first so many normal images."""
    y = rs.load(small_set).y
    return sorted([*np.flatnonzero(y == 1), *np.flatnonzero(y == 0)[:normal]])
