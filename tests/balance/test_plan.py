from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raresight.balance import SMOTE
from raresight.balance.plan import SynthesisPlan
from raresight.errors import LeakageError


def plan_of(n: int, m: int, seed: int = 0) -> SynthesisPlan:
    random = np.random.default_rng(seed)
    base, partner = random.integers(0, n, (2, m))
    return SynthesisPlan(base, partner, random.random(m).astype(np.float32), np.ones(m, int), np.arange(n))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 90),
    st.sampled_from([(5,), (4, 3), (4, 4, 3)]),
    st.sampled_from([np.uint8, np.uint16, np.float32, np.float64]),
    st.integers(1, 70),
)
def test_rows_batches_view_and_balanced_agree_in_any_shape_and_dtype(m, shape, dtype, size):
    random = np.random.default_rng(m)
    X = (random.random((12, *shape)) * 200).astype(dtype)
    plan = plan_of(12, m)
    rows = plan.rows(X)
    assert rows.shape == (m, *shape) and rows.dtype == dtype
    assert (np.concatenate([b.copy() for b in plan.batches(X, size)]) == rows).all()
    assert (plan.view(X)[:] == np.concatenate([X, rows])).all()
    assert (plan.balanced(X) == np.concatenate([X, rows])).all()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_row_lies_between_its_parents_and_integers_are_rounded(dtype):
    X = np.random.default_rng(0).integers(0, 250, (12, 6, 6)).astype(dtype)
    plan = plan_of(12, 50)
    a, b = X[plan.base].astype(float), X[plan.partner].astype(float)
    exact = a + plan.step[:, None, None] * (b - a)
    tolerance = 1e-4 if dtype == np.float32 else 0.5 + 1e-4
    assert np.abs(plan.rows(X) - exact).max() <= tolerance


def test_the_view_makes_only_what_is_asked_for():
    X = np.random.default_rng(0).integers(0, 250, (12, 6, 6)).astype(np.uint8)
    plan = plan_of(12, 30)
    view, whole = plan.view(X), plan.balanced(X)
    index = np.array([40, 3, 12, 0, 41, 12])
    assert (view[index] == whole[index]).all()
    assert (view[5] == whole[5]).all() and (view[10:15] == whole[10:15]).all()
    assert view.shape == whole.shape and len(view) == 42 and view.dtype == np.uint8


def test_a_parent_outside_the_training_rows_raises():
    plan = plan_of(12, 30)
    assert plan.check(12) == 0
    with pytest.raises(LeakageError, match="not in the training fold"):
        plan.check(11)
    with pytest.raises(LeakageError):
        plan.check(np.arange(1, 12))


def test_test_rows_change_no_plan():
    random = np.random.default_rng(0)
    X, y = random.normal(size=(80, 5)), np.r_[np.zeros(60, int), np.ones(20, int)]
    train = np.arange(70)
    before = SMOTE(random_state=0).plan(X[train], y[train])
    X[70:] = 1e6
    after = SMOTE(random_state=0).plan(X[train], y[train])
    assert (before.base == after.base).all() and (before.partner == after.partner).all()
