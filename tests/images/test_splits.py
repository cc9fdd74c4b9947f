from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raresight.errors import DataError, LeakageError
from raresight.images.splits import (
    check_groups,
    drop_anomalies,
    group_splits,
    inner_split,
    mixed_groups,
    stratified_group_folds,
)


@st.composite
def grouped_labels(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    sizes = draw(st.lists(st.integers(1, 5), min_size=12, max_size=40))
    groups = np.repeat(np.arange(len(sizes)), sizes)
    flags = draw(st.lists(st.booleans(), min_size=len(groups), max_size=len(groups)))
    y = np.array(flags, dtype=int)
    y[groups < 4], y[(groups >= 4) & (groups < 8)] = 0, 1  # at least four groups of each class
    return y, groups.astype(str)


@settings(max_examples=60, deadline=None)
@given(grouped_labels(), st.integers(2, 4), st.integers(0, 5))
def test_no_group_is_on_both_sides_and_every_row_is_tested_once_a_repeat(data, folds, seed):
    y, groups = data
    tested = np.zeros(len(y), int)
    for split in group_splits(y, groups, folds, 2, seed):
        assert check_groups(groups, split.train, split.test) == 0
        assert not set(groups[split.train]) & set(groups[split.test])
        assert len(split.train) + len(split.test) == len(y)
        tested[split.test] += 1
    assert (tested == 2).all()


def test_ungrouped_folds_keep_the_class_shares_to_within_one_image():
    y = np.r_[np.zeros(83, int), np.ones(21, int)]
    folds = stratified_group_folds(y, np.arange(104), 5, seed=3)
    for label in (0, 1):
        counts = np.bincount(folds[y == label], minlength=5)
        assert counts.max() - counts.min() <= 1
    sizes = np.bincount(folds)
    assert sizes.max() - sizes.min() <= 1


def test_grouped_folds_stay_near_the_class_shares():
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(120), 3)
    y = (random.random(360) < 0.2).astype(int)
    folds = stratified_group_folds(y, groups, 5, seed=0)
    shares = [y[folds == f].mean() for f in range(5)]
    assert max(shares) - min(shares) < 0.06


def test_the_seed_decides_and_repeats_differ():
    y, groups = np.r_[np.zeros(30, int), np.ones(10, int)], np.arange(40)
    one = [s.test.tolist() for s in group_splits(y, groups, 5, 2, 0)]
    assert one == [s.test.tolist() for s in group_splits(y, groups, 5, 2, 0)]
    assert one != [s.test.tolist() for s in group_splits(y, groups, 5, 2, 1)]
    assert one[:5] != one[5:]


def test_too_few_groups_of_a_class_is_said_with_the_way_out():
    y = np.r_[np.zeros(30, int), np.ones(3, int)]
    with pytest.raises(DataError, match="only 3 groups .* for 5 folds; use --folds 3"):
        stratified_group_folds(y, np.arange(33), 5, 0)


def test_a_class_of_one_patient_cannot_be_split():
    y, groups = np.r_[np.zeros(30, int), np.ones(6, int)], np.r_[np.arange(30), np.full(6, 99)]
    with pytest.raises(DataError, match="one group"):
        stratified_group_folds(y, groups, 5, 0)


def test_a_group_on_both_sides_raises():
    with pytest.raises(LeakageError, match="both training and test"):
        check_groups(np.array(["a", "b", "a"]), np.array([0, 1]), np.array([2]))


def test_the_inner_split_keeps_groups_whole():
    groups = np.repeat(np.arange(40), 2)
    y = np.repeat(np.r_[np.zeros(25, int), np.ones(15, int)], 2)
    learn, held = inner_split(y, groups, 0.2, 0)
    assert not set(groups[learn]) & set(groups[held])
    assert 0.1 < len(held) / 80 < 0.3
    assert set(y[held]) == {0, 1}


@settings(max_examples=40, deadline=None)
@given(grouped_labels(), st.sampled_from([1, 2, 5, 20]), st.integers(0, 3))
def test_imbalance_is_induced_by_whole_groups_of_anomalies_only(data, ratio, seed):
    y, groups = data
    rows = np.arange(len(y))
    kept = drop_anomalies(y, groups, rows, ratio, seed)
    dropped = np.setdiff1d(rows, kept)
    assert (y[dropped] == 1).all()
    assert not set(groups[dropped]) & set(groups[kept[y[kept] == 1]])
    assert y[kept].sum() >= 1
    anomalous_groups = {g: int(((groups == g) & (y == 1)).sum()) for g in set(groups[y == 1])}
    assert y[kept].sum() <= max((y == 0).sum() / ratio, max(anomalous_groups.values()), 1)


def test_imbalance_reaches_the_ratio_when_images_stand_alone():
    y = np.r_[np.zeros(400, int), np.ones(300, int)]
    kept = drop_anomalies(y, np.arange(700), np.arange(700), 20, 0)
    assert y[kept].sum() == 20


def test_groups_of_both_classes_are_counted():
    assert mixed_groups(np.array([0, 1, 0, 0, 1]), np.array(["a", "a", "b", "b", "c"])) == 1
    assert mixed_groups(np.array([0, 1]), np.array(["a", "b"])) == 0
