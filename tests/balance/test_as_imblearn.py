"""The same seed gives imbalanced-learn's rows."""

from __future__ import annotations

import imblearn.combine
import imblearn.over_sampling
import imblearn.under_sampling
import numpy as np
import pytest

import raresight.balance as ours

OVER = ["SMOTE", "BorderlineSMOTE", "ADASYN"]
HYBRID = ["SMOTEENN", "SMOTETomek"]
CLEAN = ["EditedNearestNeighbours", "TomekLinks"]


def theirs(name: str) -> type:
    for module in (imblearn.over_sampling, imblearn.combine, imblearn.under_sampling):
        if hasattr(module, name):
            return getattr(module, name)
    raise AttributeError(name)


def rows(dtype: type, d: int, seed: int, n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    y = (random.random(n) < 0.2).astype(int)
    return (random.normal(size=(n, d)) + 0.7 * y[:, None] / np.sqrt(d) + 5).astype(dtype), y


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("seed", [0, 1, 42])
@pytest.mark.parametrize("d", [3, 40, 4000])
@pytest.mark.parametrize("name", OVER + HYBRID)
def test_the_same_seed_gives_the_same_rows(name, d, seed, dtype):
    X, y = rows(dtype, d, seed)
    mine = getattr(ours, name)(random_state=seed).fit_resample(X, y)
    other = theirs(name)(random_state=seed).fit_resample(X, y)
    np.testing.assert_allclose(mine[0], other[0], rtol=1e-5, atol=1e-5)
    assert (mine[1] == other[1]).all() and mine[0].dtype == other[0].dtype


@pytest.mark.parametrize("seed", [0, 1, 42])
@pytest.mark.parametrize("d", [3, 40, 4000])
@pytest.mark.parametrize("name", CLEAN)
def test_the_same_rows_are_kept(name, d, seed):
    X, y = rows(np.float32, d, seed)
    mine, other = getattr(ours, name)(), theirs(name)()
    mine.fit_resample(X, y), other.fit_resample(X, y)
    assert (mine.sample_indices_ == other.sample_indices_).all() and len(mine.sample_indices_) < len(y)


@pytest.mark.parametrize("options", [{"kind_sel": "mode"}, {"n_neighbors": 7}, {"sampling_strategy": "all"}])
def test_editing_has_the_options_of_imbalanced_learn(options):
    X, y = rows(np.float32, 20, 0)
    mine, other = (
        ours.EditedNearestNeighbours(**options),
        imblearn.under_sampling.EditedNearestNeighbours(**options),
    )
    mine.fit_resample(X, y), other.fit_resample(X, y)
    assert (mine.sample_indices_ == other.sample_indices_).all()


@pytest.mark.parametrize("name", ["RandomOverSampler", "RandomUnderSampler"])
def test_rows_drawn_at_random_are_the_same(name):
    X, y = rows(np.float32, 5, 0)
    mine = getattr(ours, name)(random_state=3).fit_resample(X, y)
    other = theirs(name)(random_state=3).fit_resample(X, y)
    assert (mine[0] == other[0]).all() and (mine[1] == other[1]).all()


def several(n: int = 300) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(7)
    y = random.choice(3, n, p=[0.6, 0.25, 0.15])
    return random.normal(size=(n, 8)) + y[:, None] * 0.4, y


def with_copies() -> tuple[np.ndarray, np.ndarray]:
    X, y = rows(np.float64, 20, 3)
    X[y == 1] = np.repeat(X[y == 1][::2], 2, axis=0)[: (y == 1).sum()]
    return X, y


@pytest.mark.parametrize(
    "name", [*OVER, "SVMSMOTE", *HYBRID, *CLEAN, "NeighbourhoodCleaningRule", "KMeansSMOTE"]
)
@pytest.mark.parametrize("data", [several, with_copies])
def test_compatible_gives_their_rows_where_ours_differ(name, data):
    X, y = data()
    options = {} if "random_state" not in theirs(name)().get_params() else {"random_state": 5}
    if name == "KMeansSMOTE":
        options |= {"cluster_balance_threshold": 0.1, "kmeans_estimator": 2}
    mine = getattr(ours, name)(compatible=True, **options).fit_resample(X, y)
    other = theirs(name)(**options).fit_resample(X, y)
    assert (mine[1] == other[1]).all()
    np.testing.assert_allclose(mine[0], other[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("data", [several, with_copies])
def test_compatible_borderline_2_multiplies_two_draws(data):
    X, y = data()
    mine = ours.BorderlineSMOTE2(compatible=True, random_state=5).fit_resample(X, y)
    other = imblearn.over_sampling.BorderlineSMOTE(kind="borderline-2", random_state=5).fit_resample(X, y)
    assert (mine[1] == other[1]).all()
    np.testing.assert_allclose(mine[0], other[0], rtol=1e-5, atol=1e-5)


def test_classes_do_not_share_random_numbers():
    X, y = several()
    plan = ours.SMOTE(random_state=0).plan(X, y)
    one, two = (plan.step[plan.label == c] for c in (1, 2))
    assert not np.isin(one, two).any()
    same = ours.SMOTE(random_state=0, compatible=True).plan(X, y)
    one, two = (same.step[same.label == c] for c in (1, 2))
    assert np.isin(one[:5], two).any() or len(one) != len(two)


def test_copies_are_never_blended_with_one_another():
    X, y = with_copies()
    plan = ours.SMOTE(random_state=0).plan(X, y)
    assert (X[plan.base] != X[plan.partner]).any(axis=1).all()
    bad = ours.SMOTE(random_state=0, compatible=True).plan(X, y)
    assert (X[bad.base] == X[bad.partner]).all(axis=1).mean() > 0.1


def test_towards_strangers_borderline_2_goes_up_to_half_way():
    X, y = rows(np.float64, 3, 0, n=600)
    plan = ours.BorderlineSMOTE2(random_state=0).plan(X, y)
    strange = y[plan.partner] != plan.label
    assert 0.4 < plan.step[strange].max() <= 0.5 and plan.step[~strange].max() > 0.9
