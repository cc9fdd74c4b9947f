from __future__ import annotations

import numpy as np

from raresight.audit.labels import find_label_errors
from raresight.audit.model import Judge
from raresight.images.splits import stratified_group_folds


def blobs(classes: int, each: int = 60) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(3)
    y = np.repeat(np.arange(classes), each)
    return (random.normal(0, 1, (len(y), 8)) + 3 * np.eye(8)[y]).astype(np.float32), y


def judged(X: np.ndarray, y: np.ndarray) -> tuple[Judge, np.ndarray, np.ndarray]:
    groups = np.arange(len(y)).astype(str)
    judge = Judge(y, groups, stratified_group_folds(y, groups, 5, 0))
    return judge, *judge.real(X)


def test_planted_label_errors_are_found_and_few_others():
    for classes in (2, 4):
        X, y = blobs(classes)
        wrong = np.random.default_rng(1).choice(len(y), 8, replace=False)
        given = y.copy()
        given[wrong] = (y[wrong] + 1) % classes
        names = [f"class {kind}" for kind in range(classes)]
        found = find_label_errors(given, judged(X, given)[2], names)
        rows = {error.row for error in found}
        assert len(rows & set(wrong)) >= 7 and len(rows) <= 16
        assert all(error.suggested == names[y[error.row]] for error in found if error.row in wrong)
        assert [e.quality for e in found] == sorted(e.quality for e in found)


def test_right_labels_are_nearly_all_left_alone():
    X, y = blobs(3)
    assert len(find_label_errors(y, judged(4 * X, y)[2], ["a", "b", "c"])) <= 0.02 * len(y)


def test_the_model_is_the_svm_that_compare_trains():
    from sklearn.preprocessing import StandardScaler

    from raresight.detect.classical import SVM
    from raresight.detect.margin import GaussianSVC

    X, y = blobs(2)
    judge, score, probability = judged(X, y)
    test = judge.fold == 0
    scaler = StandardScaler().fit(X[~test])
    machine = SVM().fit(scaler.transform(X[~test]), y[~test])
    assert isinstance(machine.classifier_, GaussianSVC)
    np.testing.assert_allclose(
        score[test, 1], machine.decision_function(scaler.transform(X[test])), atol=1e-3
    )
    np.testing.assert_allclose(probability.sum(axis=1), 1)


def test_cells_hold_intervals_and_agree_with_scikit_learn():
    from sklearn.metrics import accuracy_score, roc_auc_score

    X, y = blobs(2)
    judge, score, _ = judged(X / 2, y)
    called = (score[:, 1] >= 0).astype(int)
    cells = judge.cells(score, called, 1)
    by_fold = [roc_auc_score(y[judge.fold == f], score[judge.fold == f, 1]) for f in range(5)]
    assert abs(cells["auroc"]["mean"] - np.mean(by_fold)) < 1e-9
    assert abs(cells["accuracy"]["mean"] - accuracy_score(y, called)) < 1e-9
    for cell in cells.values():
        assert 0 <= cell["low"] < cell["mean"] < cell["high"] <= 1
