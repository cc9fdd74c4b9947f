"""A pytest plugin that points imbalanced-learn's names at raresight's samplers before its tests import them."""

from __future__ import annotations

import imblearn.combine
import imblearn.over_sampling
import imblearn.under_sampling
import pytest

import raresight.balance as ours

NAMES = {
    imblearn.over_sampling: ["SMOTE", "BorderlineSMOTE", "SVMSMOTE", "ADASYN"],
    imblearn.under_sampling: ["EditedNearestNeighbours", "TomekLinks"],
    imblearn.combine: ["SMOTEENN", "SMOTETomek"],
}

NO_N_JOBS = "reads a private method and the option n_jobs; ours are one matrix product and have neither"
NO_STATIC = "calls a static method of theirs that is no part of the sampler's contract"

EXPECTED = {
    "test_smote_enn.py::test_parallelisation": NO_N_JOBS,
    "test_smote_tomek.py::test_parallelisation": NO_N_JOBS,
}


def pytest_configure(config: pytest.Config) -> None:
    for module, names in NAMES.items():
        for name in names:
            setattr(module, name, getattr(ours, name))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for ending, reason in EXPECTED.items():
            if item.nodeid.endswith(ending):
                item.add_marker(pytest.mark.xfail(reason=reason, strict=True))
