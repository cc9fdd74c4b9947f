from __future__ import annotations

import imblearn.over_sampling
import numpy as np
import pytest

from raresight.balance import SMOTE, RandomOverSampler
from raresight.balance.neighbours import Gram
from raresight.errors import DataError


def rows(n: int = 300, d: int = 40, dtype: type = np.float64) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(n, d)).astype(dtype) + 5, (random.random(n) < 0.15).astype(int)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", [0, 1, 42])
@pytest.mark.parametrize("strategy", ["auto", 0.5])
def test_smote_gives_the_rows_of_imbalanced_learn(dtype, seed, strategy):
    X, y = rows(dtype=dtype)
    ours = SMOTE(random_state=seed, sampling_strategy=strategy).fit_resample(X, y)
    theirs = imblearn.over_sampling.SMOTE(random_state=seed, sampling_strategy=strategy).fit_resample(X, y)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-5, atol=1e-5)
    assert (ours[1] == theirs[1]).all() and ours[0].dtype == theirs[0].dtype


def test_random_over_gives_the_rows_of_imbalanced_learn():
    X, y = rows()
    ours = RandomOverSampler(random_state=3).fit_resample(X, y)
    theirs = imblearn.over_sampling.RandomOverSampler(random_state=3).fit_resample(X, y)
    assert (ours[0] == theirs[0]).all() and (ours[1] == theirs[1]).all()


def test_neighbours_are_exact_on_nearly_constant_rows():
    random = np.random.default_rng(0)
    Z = (200 + random.normal(0, 0.01, (150, 500))).astype(np.float32)
    exact = ((Z[:, None].astype(float) - Z[None].astype(float)) ** 2).sum(axis=2)
    np.fill_diagonal(exact, np.inf)
    near = Gram.of(Z).nearest(np.arange(150), np.arange(150), 5)
    right = [set(a) == set(b) for a, b in zip(near, np.argsort(exact, axis=1)[:, :5], strict=True)]
    assert np.mean(right) >= 0.99


def test_a_row_is_never_its_own_neighbour_even_when_images_repeat():
    Z = np.repeat(np.random.default_rng(0).normal(size=(10, 4)), 3, axis=0)
    near = Gram.of(Z).nearest(np.arange(30), np.arange(30), 4)
    assert not (near == np.arange(30)[:, None]).any()


def test_a_slice_of_the_gram_gives_the_neighbours_of_the_slice():
    Z = np.random.default_rng(0).normal(size=(60, 20))
    some = np.random.default_rng(1).permutation(60)[:40]
    own = np.arange(40)
    sliced = Gram.of(Z).take(some).nearest(own, own, 5)
    assert (sliced == Gram.of(Z[some]).nearest(own, own, 5)).all()


def test_images_are_balanced_in_their_own_shape_and_dtype():
    X = np.random.default_rng(0).integers(0, 255, (40, 8, 8, 3), np.uint8)
    y = np.r_[np.zeros(30, int), np.ones(10, int)]
    balanced, labels = SMOTE(random_state=0).fit_resample(X, y)
    assert balanced.shape == (60, 8, 8, 3) and balanced.dtype == np.uint8 and labels.sum() == 30


def test_too_few_rows_says_what_can_be_done():
    X, y = rows(60)
    y[:] = 0
    y[:4] = 1
    with pytest.raises(
        DataError, match=r"4 training rows, too few .* use k_neighbors=3.*smote\[k_neighbors=3\]"
    ):
        SMOTE().fit_resample(X, y)
    y[1:4] = 0
    with pytest.raises(DataError, match="1 training row, and SMOTE needs two.*random-over"):
        SMOTE().fit_resample(X, y)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_is_refused_with_its_row(bad):
    X, y = rows()
    X[17, 3] = bad
    with pytest.raises(DataError, match="row 17 holds NaN or infinity"):
        SMOTE().fit_resample(X, y)


def test_every_parent_is_of_the_class_that_grows():
    X, y = rows()
    plan = SMOTE(random_state=0).plan(X, y)
    assert (y[plan.base] == 1).all() and (y[plan.partner] == 1).all() and (plan.base != plan.partner).all()
