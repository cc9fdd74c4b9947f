"""imbalanced-learn's and scikit-learn's own estimator checks, on every sampler of the family."""

from __future__ import annotations

from typing import Any

import pytest
from imblearn.utils.estimator_checks import parametrize_with_checks as sampler_checks
from sklearn.utils.estimator_checks import parametrize_with_checks as estimator_checks

from raresight.balance import (
    ADASYN,
    EOS,
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
    NoSampler,
    RandomOverSampler,
    RandomUnderSampler,
    Remix,
    SMOTETomek,
    TomekLinks,
)

SAMPLERS = [
    NoSampler(),
    RandomOverSampler(random_state=0),
    RandomUnderSampler(random_state=0),
    SMOTE(random_state=0),
    BorderlineSMOTE(random_state=0),
    BorderlineSMOTE2(random_state=0),
    SVMSMOTE(random_state=0),
    KMeansSMOTE(random_state=0, kmeans_estimator=2, cluster_balance_threshold=0.05),
    ADASYN(random_state=0),
    GeometricSMOTE(random_state=0),
    SMOTENC([0], random_state=0),
    BoundarySMOTE(random_state=0),
    EditedNearestNeighbours(),
    TomekLinks(),
    NeighbourhoodCleaningRule(),
    SMOTEENN(random_state=0),
    SMOTETomek(random_state=0),
    STEM(random_state=0),
    EOS(random_state=0),
    Mixup(random_state=0),
    BalancedMixup(random_state=0),
    Remix(random_state=0),
]


def expected(sampler: Any) -> dict[str, str]:
    """Which checks fail, and why."""
    if isinstance(sampler, SMOTENC):
        return {
            "check_samplers_string": "its only column is nominal, and SMOTE-NC needs a numeric one",
            "check_estimators_nan_inf": "the NaN is in the nominal column, where it is a value like others",
        }
    return {}


def listed(mark: pytest.MarkDecorator) -> pytest.MarkDecorator:
    """Spell out a parametrisation: this pytest no longer takes the generator that both libraries give it."""
    names, cases = mark.args
    return pytest.mark.parametrize(names, list(cases), **mark.kwargs)


@listed(sampler_checks(SAMPLERS, expected_failed_checks=expected))
@pytest.mark.filterwarnings("ignore")
def test_imbalanced_learn_checks(estimator, check):
    check(estimator)


@listed(estimator_checks(SAMPLERS, expected_failed_checks=expected))
@pytest.mark.filterwarnings("ignore")
def test_scikit_learn_checks(estimator, check):
    check(estimator)
