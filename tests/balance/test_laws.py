"""What holds for every sampler and any data."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st

from raresight.balance import (
    ADASYN,
    SMOTE,
    SMOTEENN,
    SMOTENC,
    STEM,
    SVMSMOTE,
    BalancedMixup,
    BorderlineSMOTE,
    BorderlineSMOTE2,
    BoundarySMOTE,
    EditedNearestNeighbours,
    GeometricSMOTE,
    KMeansSMOTE,
    Mixup,
    NeighbourhoodCleaningRule,
    RandomOverSampler,
    RandomUnderSampler,
    Remix,
    SMOTETomek,
    SynthesisPlan,
    TomekLinks,
)
from raresight.balance.features import UnusableRowsError
from raresight.balance.neighbours import Barriers, Computed, Gram
from raresight.balance.synthetic import WithSynthetic
from raresight.errors import LeakageError

WITHIN = [SMOTE, BorderlineSMOTE, ADASYN, KMeansSMOTE, SMOTETomek, SMOTEENN]
MADE = [*WITHIN, SVMSMOTE, BorderlineSMOTE2, GeometricSMOTE, BoundarySMOTE, STEM, Mixup, BalancedMixup, Remix]
EXACT = [
    RandomOverSampler,
    SMOTE,
    BorderlineSMOTE,
    BorderlineSMOTE2,
    SVMSMOTE,
    KMeansSMOTE,
    GeometricSMOTE,
    BoundarySMOTE,
]
QUICK = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def sampler(kind: type, seed: int = 0, **options: object) -> object:
    if kind is KMeansSMOTE:
        options |= {"cluster_balance_threshold": 0.0, "kmeans_estimator": 2}
    return kind(random_state=seed, **options)


def planned(kind: type, seed: int, X: np.ndarray, y: np.ndarray) -> SynthesisPlan:
    """Plan; a drawn set that the sampler refuses is left out: ADASYN's shares may all round to 0."""
    try:
        return sampler(kind, seed).plan(X, y)  # type: ignore[attr-defined]
    except UnusableRowsError:
        reject()


@st.composite
def sets(draw: st.DrawFn, classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Overlapping classes of 12 rows or more, in few or many dimensions, sometimes with copies."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sizes = [draw(st.integers(30, 60)), *(draw(st.integers(12, 25)) for _ in range(classes - 1))]
    y = random.permutation(np.repeat(np.arange(classes), sizes))
    X = random.normal(size=(len(y), draw(st.sampled_from([2, 7, 300])))) + 0.3 * y[:, None]
    if draw(st.booleans()):
        X[: len(X) // 5] = X[-(len(X) // 5) :]
    return X.astype(draw(st.sampled_from([np.float32, np.float64]))), y


@pytest.fixture(autouse=True)
def borderline_may_find_no_danger():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "no row of class")
        yield


@pytest.mark.parametrize("kind", WITHIN)
@QUICK
@given(data=sets(), seed=st.integers(0, 99))
def test_a_row_lies_on_the_segment_between_two_rows_of_its_class(kind, data, seed):
    X, y = data
    plan = planned(kind, seed, X, y)
    assert (y[plan.base] == plan.label).all() and (y[plan.partner] == plan.label).all()
    assert ((plan.step >= 0) & (plan.step <= 1)).all()
    a, b, made = X[plan.base], X[plan.partner], plan.rows(X)
    assert (made >= np.minimum(a, b) - 1e-4).all() and (made <= np.maximum(a, b) + 1e-4).all()
    ways = [np.linalg.norm(v, axis=1) for v in (made - a, b - made, b - a)]
    np.testing.assert_allclose(ways[0] + ways[1], ways[2], atol=1e-3)


@QUICK
@given(
    data=sets(),
    seed=st.integers(0, 99),
    truncation=st.sampled_from([-1.0, 0.0, 0.5, 1.0]),
    deformation=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_geometric_rows_lie_in_the_truncated_ball(data, seed, truncation, deformation):
    X, y = data
    plan = GeometricSMOTE(
        random_state=seed, truncation_factor=truncation, deformation_factor=deformation
    ).plan(X, y)
    assert (y[plan.base] == plan.label).all()
    way, across = (plan.rows(X) - X[plan.base]).astype(float), (X[plan.partner] - X[plan.base]).astype(float)
    radius = np.linalg.norm(across, axis=1)
    assert (np.linalg.norm(way, axis=1) <= radius * (1 + 1e-4)).all()
    along = (way * across).sum(axis=1) / np.maximum(radius, 1e-12) ** 2
    if truncation > 0:
        assert (along >= truncation - 1 - 1e-4).all()
    if truncation < 0:
        assert (along <= truncation + 1 + 1e-4).all()
    if deformation == 1:
        np.testing.assert_allclose(way, along[:, None] * across, atol=1e-3)


@QUICK
@given(data=sets(), seed=st.integers(0, 99))
def test_boundary_rows_lie_on_the_line_and_stop_before_the_strangers(data, seed):
    X, y = data
    plan = BoundarySMOTE(random_state=seed, reach=1.0).plan(X, y)
    assert (y[plan.base] == plan.label).all() and (y[plan.partner] == plan.label).all()
    assert ((plan.step >= 0) & (plan.step <= 2)).all()
    beyond = np.maximum(plan.step - 1, 0) * np.linalg.norm(X[plan.partner] - X[plan.base], axis=1)
    strangers = X[y != plan.label[0]].astype(float)
    room = np.array([np.linalg.norm(strangers - X[p], axis=1).min() for p in plan.partner])
    assert (beyond <= 0.5 * room + 1e-3).all()


@pytest.mark.parametrize("kind", [Mixup, BalancedMixup, Remix, STEM])
@QUICK
@given(data=sets(classes=3), seed=st.integers(0, 99))
def test_mixed_labels_are_shares_of_the_parents_classes(kind, data, seed):
    X, y = data
    plan = kind(random_state=seed).plan(X, y)
    np.testing.assert_allclose(plan.label.sum(axis=1), 1, atol=1e-5)
    assert (plan.label >= 0).all() and plan.label.shape == (len(plan), 3)
    parents = np.stack([plan.base, plan.partner, *([] if plan.law is None else plan.law.rows())])
    own = (y[parents][:, :, None] == plan.classes).any(axis=0)
    assert not plan.label[~own].any()
    index, labels, weights = plan.weighted(y)
    assert np.allclose(np.bincount(index, weights), 1, atol=1e-5)
    soft = np.zeros((index.max() + 1, 3))
    np.add.at(soft, (index, labels), weights)
    np.testing.assert_allclose(soft, plan.labels(y), atol=1e-6)


@QUICK
@given(data=sets(), seed=st.integers(0, 99))
def test_plain_mixup_labels_go_with_the_pixels_and_remix_only_to_the_rarer_class(data, seed):
    X, y = data
    plan = Mixup(random_state=seed).plan(X, y)
    each = np.arange(len(plan))
    differ = y[plan.base] != y[plan.partner]
    np.testing.assert_allclose(plan.label[each, y[plan.base]][differ], 1 - plan.step[differ], atol=1e-5)
    remixed = Remix(random_state=seed, kappa=1.0, tau=0.5).plan(X, y)
    share = remixed.label[:, 1] - np.where(y[remixed.base] == 1, 1 - remixed.step, 0)
    share -= np.where(y[remixed.partner] == 1, remixed.step, 0)
    assert (share >= -1e-5).all() and (share > 0.01).any()


@QUICK
@given(data=sets(), seed=st.integers(0, 99), size=st.integers(1, 30))
def test_stem_rows_are_means_of_points_on_two_segments(data, seed, size):
    X, y = data
    plan = STEM(random_state=seed).plan(X, y)
    law, Xd = plan.law, X.astype(float)

    def point(base: np.ndarray, partner: np.ndarray, step: np.ndarray) -> np.ndarray:
        return Xd[base] + step[:, None] * (Xd[partner] - Xd[base])

    first, second = point(plan.base, plan.partner, plan.step), point(law.base, law.partner, law.step)
    exact = first + law.weight[:, None] * (second - first)
    np.testing.assert_allclose(plan.rows(X), exact, atol=1e-3)
    assume(len(plan))
    assert (np.concatenate([b.copy() for b in plan.batches(X, size)]) == plan.rows(X)).all()


@QUICK
@given(data=sets(), seed=st.integers(0, 99))
def test_nominal_values_are_those_of_most_neighbours(data, seed):
    X, y = data
    table = np.random.default_rng(seed).integers(0, 3, (len(y), 2)).astype(object)
    plan = SMOTENC([0, 1], random_state=seed).plan(X, y, table=np.c_[table, X[:, :1]])
    assert (y[plan.donor] == plan.label[:, None]).all() and (y[plan.partner] == plan.label).all()
    values = plan.nominal(table)
    assert values.shape == (len(plan), 2) and np.isin(values.astype(int), [0, 1, 2]).all()
    assert np.isin(plan.donor, plan.parents()).all()


@pytest.mark.parametrize("kind", [*MADE, RandomOverSampler])
@QUICK
@given(data=sets(), seed=st.integers(0, 99))
def test_every_parent_is_a_training_row_and_the_check_knows_each(kind, data, seed):
    X, y = data
    plan = planned(kind, seed, X, y)
    assert plan.check(len(y)) == 0
    parents = plan.parents()
    if len(parents):
        with pytest.raises(LeakageError):
            plan.check(np.setdiff1d(np.arange(len(y)), parents[-1:]))


@pytest.mark.parametrize("kind", EXACT)
@QUICK
@given(data=sets(classes=3), more=st.integers(0, 40), seed=st.integers(0, 99))
def test_counts_are_exactly_those_asked_for(kind, data, more, seed):
    X, y = data
    wanted = {c: int((y == c).sum()) + more + c for c in (1, 2)}
    _, labels = sampler(kind, seed, sampling_strategy=wanted).fit_resample(X, y)
    assert {c: int((labels == c).sum()) for c in wanted} == wanted
    assert (labels == 0).sum() == (y == 0).sum()


@QUICK
@given(data=sets(), seed=st.integers(0, 99))
def test_under_sampling_keeps_exactly_what_is_asked_for(data, seed):
    X, y = data
    kept = RandomUnderSampler(random_state=seed, sampling_strategy={0: 11}).plan(X, y).keep
    assert (
        (y[kept] == 0).sum() == 11 and (y[kept] == 1).sum() == (y == 1).sum() and len(set(kept)) == len(kept)
    )


@pytest.mark.parametrize("finder", [Computed, Gram.of])
@QUICK
@given(
    data=sets(),
    k=st.integers(1, 20),
    metric=st.sampled_from(["euclidean", "cosine"]),
    seed=st.integers(0, 99),
)
def test_permuting_rows_permutes_the_neighbours(finder, data, k, metric, seed):
    X, _ = data
    X = np.unique(X, axis=0)
    order = np.random.default_rng(seed).permutation(len(X))
    every = np.arange(len(X))
    before = finder(X, metric=metric).nearest(every, every, k)
    after = order[finder(X[order], metric=metric).nearest(every, every, k)]
    assert all(set(before[row]) == set(near) for row, near in zip(order, after, strict=True))


@pytest.mark.parametrize("kind", [EditedNearestNeighbours, TomekLinks, NeighbourhoodCleaningRule])
@QUICK
@given(data=sets(), seed=st.integers(0, 99))
def test_permuting_rows_cleans_the_same_rows(kind, data, seed):
    X, y = data
    X, first = np.unique(X, axis=0, return_index=True)
    y = y[first]
    assume(len(np.unique(y)) == 2 and np.bincount(y).min() > 4)
    order = np.random.default_rng(seed).permutation(len(X))
    assert set(order[kind().plan(X[order], y[order]).keep]) == set(kind().plan(X, y).keep)


@pytest.mark.parametrize("kind", MADE)
def test_test_rows_change_nothing(kind):
    random = np.random.default_rng(0)
    X, y = random.normal(size=(90, 6)), np.r_[np.zeros(65, int), np.ones(25, int)]
    X[y == 1] += 0.5
    train = random.permutation(90)[:70]
    plans = []
    for test_value in (0.0, 1e6):
        whole = X.copy()
        whole[np.setdiff1d(np.arange(90), train)] = test_value
        # A Gram matrix of all rows, with a fixed centre, tells a fold nothing of the others.
        gram = Gram.of(whole, centre=np.zeros(6)).take(train)
        plans.append([sampler(kind).plan(whole[train], y[train], gram=g) for g in (None, gram)])
    for plan in (plans[0][1], *plans[1]):
        assert (plan.base == plans[0][0].base).all() and (plan.partner == plans[0][0].partner).all()
        np.testing.assert_allclose(plan.step, plans[0][0].step, atol=1e-4)
        assert (plan.keep == plans[0][0].keep).all()


@QUICK
@given(data=sets(), seed=st.integers(0, 99), metric=st.sampled_from(["euclidean", "cosine"]))
def test_distances_of_synthetic_rows_follow_from_their_parents(data, seed, metric):
    X, y = data
    plan = SMOTE(random_state=seed, metric=metric).plan(X, y)
    rows = plan.balanced(X)
    every = np.arange(len(rows))
    fast = WithSynthetic(Gram.of(X.astype(np.float64), metric=metric), plan).keys(every, every)
    gram = Gram.of(rows.astype(np.float64), metric=metric)
    flat = rows.astype(np.float64)
    if metric == "cosine":
        exact = -flat @ flat.T / np.linalg.norm(flat, axis=1)
        np.testing.assert_allclose(fast, exact, rtol=1e-3, atol=1e-3)
        return
    norms = (fast.diagonal() * -1)[:, None]
    np.testing.assert_allclose(fast + norms, gram.distances(every, every), rtol=1e-3, atol=2e-2)


@pytest.mark.parametrize("partners", ["any", "other-group", "same-group"])
@pytest.mark.parametrize("kind", [SMOTE, BorderlineSMOTE, ADASYN, GeometricSMOTE, BoundarySMOTE])
def test_partners_are_of_the_group_asked_for(kind, partners):
    random = np.random.default_rng(0)
    X, y = random.normal(size=(120, 5)), np.r_[np.zeros(90, int), np.ones(30, int)]
    groups = np.array([f"patient {i // 3}" for i in range(120)])
    options = {} if kind is not GeometricSMOTE else {"selection_strategy": "minority"}
    plan = kind(random_state=0, partners=partners, **options).plan(X, y, groups=groups)
    base, partner = plan.parent_groups()
    same = base == partner
    assert {"any": same.any() and not same.all(), "other-group": not same.any(), "same-group": same.all()}[
        partners
    ]
    assert (plan.base != plan.partner).all()


def test_barriers_shut_out_copies_and_strangers():
    barriers = Barriers((np.array([0, 0, 1, 2]),), np.array([5, 5, 5, 6]))
    shut = barriers.closed(np.arange(4), np.arange(4))
    assert shut.tolist() == [
        [True, True, False, True],
        [True, True, False, True],
        [False, False, True, True],
        [True, True, True, True],
    ]


def test_balanced_mixup_draws_classes_evenly():
    X, y = np.zeros((1000, 1)), np.r_[np.zeros(950, int), np.ones(50, int)]
    plan = BalancedMixup(random_state=0, share=4).plan(X, y)
    assert 0.45 < y[plan.partner].mean() < 0.55 and y[plan.base].mean() < 0.1
    assert 0.1 < plan.step.mean() < 0.25


@pytest.mark.parametrize("kind", [*MADE, SMOTENC])
def test_a_plan_read_again_makes_the_same_rows(kind, tmp_path):
    random = np.random.default_rng(0)
    X, y = random.normal(size=(60, 4)), np.r_[np.zeros(40, int), np.ones(20, int)]
    groups = np.array([f"p{i // 2}" for i in range(60)])
    made = (SMOTENC([0]) if kind is SMOTENC else sampler(kind)).plan(
        np.c_[X[:, :1].round(), X[:, 1:]] if kind is SMOTENC else X, y, groups=groups
    )
    made.save(tmp_path / "plan.parquet")
    again = SynthesisPlan.load(tmp_path / "plan.parquet")
    assert (again.view(X)[:] == made.view(X)[:]).all() and (again.labels(y) == made.labels(y)).all()
    assert (again.parents() == made.parents()).all() and (again.keep == made.keep).all()
    assert (again.parent_groups()[0] == made.parent_groups()[0]).all()
    assert again.label.dtype == made.label.dtype
