from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raresight.balance import EOS
from raresight.balance.neighbours import Gram
from raresight.errors import OptionError


def overlapping(n: int = 120, rare: int = 20, d: int = 6, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y = np.r_[np.zeros(n - rare, int), np.ones(rare, int)]
    return random.normal(size=(n, d)) + y[:, None], y


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 50), st.integers(1, 15), st.sampled_from([0.3, 1.0]))
def test_a_row_lies_between_a_rare_base_and_an_enemy_among_its_nearest(seed, k, reach):
    Z, y = overlapping(seed=seed)
    plan = EOS(random_state=seed, k_neighbors=k, reach=reach).plan(Z, y)
    assert len(plan) == 80 and (plan.label == 1).all()
    assert (y[plan.base] == 1).all() and (y[plan.partner] == 0).all()
    assert (plan.step >= 0).all() and (plan.step < reach).all()
    away = np.linalg.norm(Z[plan.base][:, None] - Z[None], axis=2)
    away[np.arange(80), plan.base] = np.inf
    rank = (away < away[np.arange(80), plan.partner][:, None]).sum(axis=1)
    faced = (y[np.argsort(away, axis=1)[:, :k]] == 0).any(axis=1)
    assert (rank[faced] < k).all()
    expected = Z[plan.base] + plan.step[:, None] * (Z[plan.partner] - Z[plan.base])
    np.testing.assert_allclose(plan.rows(Z), expected, atol=1e-9)


def test_rows_that_no_enemy_is_near_start_nothing():
    random = np.random.default_rng(0)
    deep, border, common = (random.normal(c, 0.1, (12, 2)) for c in (100.0, 0.0, 0.5))
    Z = np.concatenate([deep, border, np.tile(common, (3, 1)) + random.normal(0, 0.01, (36, 2))])
    y = np.r_[np.ones(24, int), np.zeros(36, int)]
    plan = EOS(random_state=0, k_neighbors=11).plan(Z, y)
    assert len(plan) == 12 and (plan.base >= 12).all()


def test_where_no_enemy_is_near_the_neighbourhood_grows_until_one_is():
    random = np.random.default_rng(0)
    Z = np.concatenate([random.normal(0, 1, (40, 3)), random.normal(1000, 1, (15, 3))])
    y = np.r_[np.zeros(40, int), np.ones(15, int)]
    plan = EOS(random_state=0, k_neighbors=2).plan(Z, y)
    assert len(plan) == 25 and (y[plan.base] == 1).all() and (y[plan.partner] == 0).all()


def test_enemies_are_drawn_evenly():
    Z = np.r_[0.0, 0.1, 1.0, 1.1, 1.2, 1.3, 50.0, 51, 52, 53][:, None]
    y = np.array([1, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    plan = EOS(sampling_strategy={1: 6002}, random_state=0, k_neighbors=5).plan(
        np.tile(Z, (1, 2)), np.where(np.arange(10) > 1, 0, 1)
    )
    assert set(plan.base) == {0, 1} and y[plan.base].all()
    drawn = np.bincount(plan.partner, minlength=10)
    assert drawn[6:].sum() == 0 and (np.abs(drawn[2:6] - 1500) < 150).all()


def test_a_gram_that_is_known_changes_nothing_and_the_seed_decides():
    Z, y = overlapping()
    plan, known = EOS(random_state=3).plan(Z, y), EOS(random_state=3).plan(Z, y, gram=Gram.of(Z))
    other = EOS(random_state=4).plan(Z, y)
    assert (plan.base == known.base).all() and (plan.partner == known.partner).all()
    assert (plan.step == known.step).all() and (plan.step != other.step).any()


def test_several_classes_grow_to_their_counts():
    Z, _ = overlapping(60)
    y = np.r_[np.zeros(30, int), np.ones(20, int), np.full(10, 2)]
    plan = EOS(random_state=0).plan(Z, y)
    assert (np.bincount(plan.labels(y)) == 30).all()
    assert (y[plan.base] == plan.label).all() and (y[plan.partner] != plan.label).all()


@pytest.mark.parametrize("options", [{"reach": 0}, {"reach": 1.5}, {"k_neighbors": 0}])
def test_an_option_out_of_range_is_named(options):
    with pytest.raises(OptionError, match=next(iter(options))):
        EOS(**options).plan(*overlapping())


def test_balanced_classes_need_nothing():
    Z, y = overlapping(40, 20)
    assert len(EOS(random_state=0).plan(Z, y)) == 0
