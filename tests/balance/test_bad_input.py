"""Sets that can't be balanced, or only just: an error that says the way out, or a documented result."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import raresight.balance as balance
from raresight.balance import SAMPLERS, SMOTE, SMOTENC, GeometricSMOTE, RandomOverSampler, SynthesisPlan
from raresight.errors import DataError, InputError, OptionError

OTHERS = ("costs", "deepsmote", "eos", "gan", "latent", "nominal")
FAMILY = [name for name, entry in SAMPLERS.items() if not any(f".{room}:" in entry.target for room in OTHERS)]
ALWAYS = {"none", "random-over", "random-under", "tomek", "mixup", "balanced-mixup", "remix"}


def make(name: str, **options: object) -> object:
    kind = SAMPLERS[name].load()
    if "random_state" in kind().get_params():
        options["random_state"] = 0
    if name == "kmeans-smote":
        options |= {"kmeans_estimator": 2, "cluster_balance_threshold": 0.0}
    return kind(**options)


@pytest.fixture(autouse=True)
def borderline_may_find_no_danger():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "no row of class")
        warnings.filterwarnings("ignore", "Number of distinct clusters")
        yield


def minority(count: int, d: int = 4, n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.normal(size=(n, d)), np.r_[np.zeros(n - count, int), np.ones(count, int)]


def degenerate() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """smote_variants' list of hard sets."""
    X, y = minority(12)
    noise = np.array([[float(i % 7), float(i % 5)] for i in range(40)])
    line = np.linspace(0, 1, 40)[:, None] * np.array([[1.0, 2.0, 3.0]])
    return {
        **{f"{count} rare rows": minority(count) for count in (1, 2, 3, 4, 5)},
        "all noise": (noise, (np.arange(40) % 3 == 0).astype(int)),
        "one dimension": (X[:, :1], y),
        "all rows identical": (np.ones((40, 4)), y),
        "rare rows identical": (np.where(y[:, None] == 1, 0.5, X), y),
        "every row twice": (np.repeat(X[::2], 2, axis=0), np.repeat(y[::2], 2)),
        "linearly dependent": (line, y),
        "constant features": (np.c_[X, np.full((40, 3), 7.0)], y),
        "no features": (np.empty((40, 0)), y),
        "pixels": ((X * 40 + 128).clip(0, 255).astype(np.uint8), y),
    }


@pytest.mark.parametrize("case", degenerate())
@pytest.mark.parametrize("name", FAMILY)
def test_a_degenerate_set_is_balanced_or_refused_in_one_sentence(name, case):
    X, y = degenerate()[case]
    try:
        plan = make(name).plan(X, y)
    except (InputError, ValueError) as error:
        assert name not in ALWAYS or case == "no features"
        assert isinstance(error, InputError) or "class" in str(error), repr(error)
        assert "\n" not in str(error) and len(str(error)) < 300
        return
    made = plan.rows(X)
    assert plan.check(len(y)) == 0 and np.isfinite(made.astype(float)).all() and made.dtype == X.dtype


@pytest.mark.parametrize(
    "name", [n for n in FAMILY if "smote" in n or n.startswith(("adasyn", "borderline"))]
)
def test_identical_rows_are_repeated(name):
    X, y = np.ones((40, 4), np.float32), np.r_[np.zeros(28, int), np.ones(12, int)]
    try:
        plan = make(name).plan(X, y)
    except ValueError:
        assert name in ("svm-smote", "adasyn")
        return
    assert (plan.rows(X) == 1).all()


def test_one_rare_row_points_to_random_over_and_few_to_a_smaller_k():
    with pytest.raises(DataError, match="needs two; balance it with random-over"):
        SMOTE().fit_resample(*minority(1))
    with pytest.raises(ValueError, match="use k_neighbors=1"):
        SMOTE().fit_resample(*minority(2))
    _, y = SMOTE(k_neighbors=1, random_state=0).fit_resample(*minority(2))
    assert (y == 1).sum() == 38


@pytest.mark.parametrize("name", ["borderline", "adasyn", "enn", "neighbourhood-cleaning"])
def test_more_neighbours_than_rows_are_refused(name):
    X, y = minority(8, n=20)
    option = {"borderline": "m_neighbors", "adasyn": "n_neighbors"}.get(name, "n_neighbors")
    with pytest.raises(DataError, match=f"{option}="):
        make(name, **{option: 20}).plan(X, y)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", [n for n in FAMILY if n not in ("none", "random-over", "random-under")])
def test_nan_and_infinity_are_refused_with_their_row(name, bad):
    X, y = minority(15)
    X[37, 2] = bad
    with pytest.raises(DataError, match="row 37 holds NaN or infinity"):
        make(name).fit_resample(X, y)


def test_a_plan_refuses_nan_in_the_rows_it_compares():
    X, y = minority(15)
    X[37, 2] = np.nan
    with pytest.raises(DataError, match="NaN"):
        SMOTE().plan(X, y)


def test_choosing_rows_leaves_nan_and_strings_alone():
    X, y = minority(15)
    X[37, 2] = np.nan
    words = np.array([["a", None, 3.0]] * 40, dtype=object)
    for name in ("none", "random-over", "random-under"):
        assert len(make(name).fit_resample(X, y)[0]) == len(make(name).fit_resample(words, y)[0])


@pytest.mark.parametrize("rows", [np.array([["a", "b"]] * 20), np.array([["a", 1.0]] * 20, dtype=object)])
def test_words_are_refused(rows):
    y = np.r_[np.zeros(12, int), np.ones(8, int)]
    with pytest.raises(ValueError):
        SMOTE().fit_resample(rows, y)
    with pytest.raises(DataError, match="real numbers"):
        SMOTE().plan(rows, y)


def test_numbers_in_an_object_array_are_numbers():
    X, y = minority(12)
    made, _ = SMOTE(random_state=0).fit_resample(X.astype(object), y)
    assert made.dtype == float and (made == SMOTE(random_state=0).fit_resample(X, y)[0]).all()


def test_a_class_without_rows_is_refused():
    X, y = minority(12)
    with pytest.raises(ValueError, match="not present"):
        SMOTE(sampling_strategy={2: 10}).fit_resample(X, y)
    with pytest.raises(ValueError, match="class"):
        SMOTE().fit_resample(X, np.zeros(40, int))


def test_continuous_and_mismatched_targets_are_refused():
    X, y = minority(12)
    with pytest.raises(ValueError, match="Unknown label type"):
        SMOTE().plan(X, np.linspace(0, 1, 40))
    with pytest.raises(ValueError, match="inconsistent"):
        SMOTE().plan(X, y[:-1])
    with pytest.raises(OptionError, match="Gram matrix is of 10 rows"):
        SMOTE().plan(X, y, gram=balance_gram(X[:10]))


def balance_gram(X: np.ndarray) -> object:
    from raresight.balance.neighbours import Gram

    return Gram.of(X)


@pytest.mark.parametrize("name", [n for n in FAMILY if n not in ("mixup", "balanced-mixup", "remix", "stem")])
def test_a_balanced_set_gets_nothing(name):
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    plan = make(name).plan(X, y)
    assert len(plan) == 0 and plan.rows(X).shape == (0, 3) and list(plan.batches(X, 8)) == []


def test_a_million_rows_are_planned_and_streamed():
    X, y = minority(12, d=2)
    plan = SMOTE(sampling_strategy={1: 1_000_012}, random_state=0).plan(X, y)
    assert len(plan) == 1_000_000 and plan.check(40) == 0
    assert sum(len(batch) for batch in plan.batches(X, 4096)) == 1_000_000


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.csc_matrix])
def test_sparse_rows_come_back_sparse(kind):
    X, y = minority(12)
    made, _ = SMOTE(random_state=0).fit_resample(kind(X), y)
    assert sparse.issparse(made) and made.format == kind(X).format
    np.testing.assert_allclose(made.toarray(), SMOTE(random_state=0).fit_resample(X, y)[0])
    with pytest.raises(TypeError, match="sparse"):
        SMOTENC([0]).fit_resample(sparse.csr_array(X), y)


def test_a_frame_comes_back_a_frame():
    X, y = minority(12)
    frame = pd.DataFrame({"age": X[:, 0], "size": X[:, 1], "side": pd.Categorical(list("lr") * 20)})
    made, labels = SMOTENC("auto", random_state=0).fit_resample(frame, pd.Series(y, name="anomalous"))
    assert list(made.columns) == ["age", "size", "side"] and labels.name == "anomalous"
    assert made["side"].dtype == frame["side"].dtype and (labels == 1).sum() == 28
    assert made["age"].between(X[:, 0].min(), X[:, 0].max()).all()


def test_nominal_columns_that_are_not_there_are_named():
    X, y = minority(12)
    for wrong, says in (([9], "no column 9"), ([0, 1, 2, 3], "all are nominal"), ("auto", "DataFrame")):
        with pytest.raises(OptionError, match=says):
            SMOTENC(wrong).plan(X, y)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"k_neighbors": 0}, "k_neighbors"),
        ({"metric": "manhattan"}, "metric"),
        ({"partners": "friends"}, "partners"),
        ({"neighbours": "some"}, "neighbours"),
        ({"sampling_strategy": 1.5}, "sampling_strategy"),
    ],
)
def test_an_option_out_of_range_is_named(options, says):
    with pytest.raises(OptionError, match=f"'{says}' parameter of SMOTE must be"):
        SMOTE(**options).plan(*minority(12))


def test_partners_of_other_groups_need_groups_and_a_second_one():
    X, y = minority(12)
    with pytest.raises(OptionError, match="needs groups"):
        SMOTE(partners="other-group").plan(X, y)
    with pytest.raises(DataError, match="use partners=any"):
        SMOTE(partners="other-group").plan(X, y, groups=np.zeros(40))


@pytest.mark.parametrize("dtype", [np.uint8, np.int16])
def test_steps_beyond_the_partner_do_not_wrap_around(dtype):
    limits = np.iinfo(dtype)
    X = np.array([[limits.min + 5, limits.max - 5], [limits.max - 5, limits.min + 5]], dtype)
    plan = SynthesisPlan(
        np.zeros(2, int), np.ones(2, int), np.array([1.5, -0.5], np.float32), np.zeros(2, int), np.arange(2)
    )
    assert plan.rows(X).tolist() == [[limits.max, limits.min], [limits.min, limits.max]]


def test_the_ball_rounds_pixels_too():
    X = np.random.default_rng(0).integers(0, 255, (60, 5, 5, 3), np.uint8)
    y = np.r_[np.zeros(45, int), np.ones(15, int)]
    made = GeometricSMOTE(random_state=0).plan(X, y).rows(X)
    assert made.dtype == np.uint8 and made.shape == (30, 5, 5, 3)


def test_every_class_is_importable_by_its_own_name():
    for name in balance.__all__:
        assert getattr(balance, name) is not None
    assert RandomOverSampler is SAMPLERS["random-over"].load()
