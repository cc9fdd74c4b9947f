"""Balances over several image sets, against Demšar's published example."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from raresight.errors import DataError, OptionError
from raresight.evidence.ranking import cliques, rank_balances

# AUROC of C4.5 and three variants on 14 sets: Demšar, JMLR 7 (2006), table 6.
DEMSAR = {
    "adult (sample)": (0.763, 0.768, 0.771, 0.798),
    "breast cancer": (0.599, 0.591, 0.590, 0.569),
    "breast cancer wisconsin": (0.954, 0.971, 0.968, 0.967),
    "cmc": (0.628, 0.661, 0.654, 0.657),
    "ionosphere": (0.882, 0.888, 0.886, 0.898),
    "iris": (0.936, 0.931, 0.916, 0.931),
    "liver disorders": (0.661, 0.668, 0.609, 0.685),
    "lung cancer": (0.583, 0.583, 0.563, 0.625),
    "lymphography": (0.775, 0.838, 0.875, 0.875),
    "mushroom": (1.000, 1.000, 1.000, 1.000),
    "primary tumor": (0.940, 0.962, 0.965, 0.962),
    "rheum": (0.619, 0.666, 0.614, 0.669),
    "voting": (0.972, 0.981, 0.975, 0.975),
    "wine": (0.957, 0.978, 0.946, 0.970),
}
VARIANTS = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")


def made_up(name, values, *, model="svm", imbalance=None, metric="auroc", balances=VARIANTS, normal=10):
    """A run's metrics on one set: a value a balance."""
    rows = [
        {"model": model, "representation": "embedding", "balance": b, "metrics": {metric: {"mean": v}}}
        for b, v in zip(balances, values, strict=True)
    ]
    settings = {
        "data": {"name": f"../data/{name}", "classes": {"no": normal, "yes": 5}},
        "protocol": {"imbalance": imbalance},
    }
    return SimpleNamespace(settings=settings, metrics={"recipes": rows}, verdicts=[])


def test_demsars_example_comes_out_as_he_published_it():
    found = rank_balances(made_up(name, values) for name, values in DEMSAR.items())
    assert found.balances == ("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5")
    assert found.ranks == pytest.approx([1.964, 2.000, 2.893, 3.143], abs=1e-3)
    assert found.critical_difference == pytest.approx(1.25, abs=0.005)
    assert found.p < 0.05 and found.sets == tuple(DEMSAR) and set(found.conditions) == {1}
    # 3.143 − 1.964 = 1.18 < 1.25: Nemenyi's test tells none apart, though Friedman's rejects equality.
    assert cliques(found.ranks, found.critical_difference) == [(0, 3)]
    assert found.values[0] == pytest.approx([0.798, 0.768, 0.771, 0.763])


@pytest.mark.parametrize(
    ("ranks", "reach", "expected"),
    [
        ([1.0, 2.0, 3.0], 0.5, []),
        ([1.0, 2.0, 3.0, 4.0], 1.0, [(0, 1), (1, 2), (2, 3)]),
        ([1.0, 1.1, 3.0, 3.2, 3.3], 1.0, [(0, 1), (2, 4)]),
        ([1.0, 2.0, 2.5], 2.0, [(0, 2)]),
    ],
)
def test_bars_join_the_longest_stretches(ranks, reach, expected):
    assert cliques(ranks, reach) == expected


def test_a_set_is_one_row_whatever_the_number_of_its_conditions():
    runs = [
        made_up("one", (0.7, 0.9, 0.6, 0.5)),
        made_up("one", (0.9, 0.8, 0.6, 0.5), imbalance=20),
        made_up("one", (0.9, 0.8, 0.7, 0.5), model="rf", imbalance=20),
        made_up("two", (0.6, 0.7, 0.8, 0.9)),
    ]
    found = rank_balances(runs)
    assert found.sets == ("one", "two") and found.conditions == (3, 1)
    mean = dict(zip(found.balances, found.values[0], strict=True))
    assert mean["C4.5"] == pytest.approx(np.mean([0.7, 0.9, 0.9]))


def test_lower_is_better_for_the_brier_score():
    runs = [made_up(name, (0.1, 0.2, 0.3, 0.4), metric="brier") for name in ("one", "two", "three")]
    assert rank_balances(runs, "brier").balances == VARIANTS


def test_what_not_every_set_has_is_left_out_and_said():
    runs = [
        made_up("one", (0.7, 0.9, 0.6), balances=("none", "smote", "mixup")),
        made_up("one", (0.7, None, 0.6), balances=("none", "smote", "mixup"), imbalance=100),
        made_up("two", (0.7, 0.9), balances=("none", "smote")),
    ]
    found = rank_balances(runs)
    assert set(found.balances) == {"none", "smote"} and found.conditions == (1, 1)
    assert found.left_out == (
        "mixup, which not every set was compared with",
        "1 of 2 conditions of one, which lack a balance or its value",
    )


def test_sets_of_one_name_that_differ_are_two_sets():
    runs = [made_up("scans", (1, 2, 3, 4)), made_up("scans", (1, 2, 3, 4), normal=11)]
    assert rank_balances(runs).sets == ("scans", "scans (2)")


def test_too_little_to_rank_is_one_sentence():
    one = made_up("one", (0.7, 0.9, 0.6, 0.5))
    with pytest.raises(DataError, match="at least 2 image sets; these are of one alone"):
        rank_balances([one, one])
    other = made_up("two", (0.7,), balances=("none",))
    with pytest.raises(DataError, match="at least two balances"):
        rank_balances([one, other])
    with pytest.raises(DataError, match="two has no condition with AUROC"):
        rank_balances([one, made_up("two", (0.7, None, 0.5, 0.5)), made_up("two", (None, 0.7, 0.5, 0.5))])
    with pytest.raises(OptionError, match="choose from: auroc"):
        rank_balances([one], "f1")
