"""What every detector of the registry promises, on tiny phantoms."""

from __future__ import annotations

import inspect
import random
from functools import cache

import numpy as np
import onnxruntime
import optuna
import pytest
import torch
from sklearn.base import clone
from sklearn.metrics import roc_auc_score
from tiny import NO_HIGHER, Rows, fit, make_detector, rows_for

from raresight.detect import DETECTORS
from raresight.detect.export import as_input
from raresight.images.load import load
from raresight.images.store import build_store

NAMES = sorted(DETECTORS)
ONE_CLASS = [name for name in NAMES if DETECTORS[name].load().one_class]


@cache
def rows_of(name: str) -> Rows:
    sets = ("n=36&anomalies=0.4&difficulty=0&seed=0", "n=8&anomalies=0.5&difficulty=0&seed=1")
    return rows_for(name, *(build_store(load(f"phantom:brain?{each}")) for each in sets))


@cache
def fitted(name: str):
    return fit(name, rows_of(name))


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_it_scores_each_row(name):
    rows = rows_of(name)
    scores = fitted(name).decision_function(rows.X)
    assert scores.shape == (len(rows.y),)
    assert scores.dtype == np.float64
    assert np.isfinite(scores).all()
    alone = fitted(name).decision_function(rows.fresh[3:5])
    np.testing.assert_allclose(alone, fitted(name).decision_function(rows.fresh)[3:5], rtol=1e-4, atol=1e-4)


def test_higher_is_more_anomalous(name):
    rows, detector = rows_of(name), fitted(name)
    if not detector.one_class:
        assert roc_auc_score(rows.y, detector.decision_function(rows.X)) > 0.8
    elif name not in NO_HIGHER:
        normal = rows.y == 0
        scores = [detector.decision_function(X[normal]) for X in (rows.X, rows.inverted)]
        assert roc_auc_score(np.repeat([0, 1], normal.sum()), np.concatenate(scores)) > 0.8


def test_probabilities_go_with_the_scores(name):
    detector, rows = fitted(name), rows_of(name)
    if not hasattr(detector, "predict_proba"):
        assert not detector.needs_anomalies
        return
    shares = detector.predict_proba(rows.X)
    assert shares.shape == (len(rows.y), 2)
    assert (shares >= 0).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
    order = np.argsort(detector.decision_function(rows.X), kind="stable")
    assert (np.diff(shares[order, 1]) >= -1e-9).all()


def test_it_can_be_cloned(name):
    detector = fitted(name)
    copy = clone(detector)
    assert copy.get_params() == detector.get_params()
    assert not [attribute for attribute in vars(copy) if attribute.endswith("_")]


def test_the_same_seed_gives_the_same_scores_and_touches_no_global_seed(name):
    rows = rows_of(name)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    again = fit(name, rows)
    after = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    assert before == after
    assert np.array_equal(again.decision_function(rows.X), fitted(name).decision_function(rows.X))


def test_an_exported_graph_gives_the_same_scores(name, tmp_path):
    rows, path = rows_of(name), tmp_path / "detector.onnx"
    fitted(name).export_onnx(path, rows.X)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for part in (rows.fresh[:1], rows.fresh[:5]):
        (scores,) = session.run(["score"], {"x": as_input(part)})
        expected = fitted(name).decision_function(part)
        np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)


def test_a_heatmap_has_the_shape_of_what_is_seen(name):
    rows, detector = rows_of(name), fitted(name)
    if not hasattr(detector, "heatmap"):
        return
    maps = detector.heatmap(rows.X[:3])
    assert maps.dtype == np.float32
    assert maps.shape == (3, *rows.X.shape[-3:-1])
    assert np.isfinite(maps).all()


@pytest.mark.parametrize("name", ONE_CLASS)
def test_a_one_class_detector_learns_nothing_from_anomalies(name):
    rows = rows_of(name)
    normal = rows.y == 0
    alone = fit(name, Rows(rows.X[normal], rows.y[normal], None, None))
    if alone.network:
        held = rows.X[::3][rows.y[::3] == 0]
        alone = make_detector(name).fit(rows.X[normal], None, validation=(held, np.zeros(len(held), int)))
    assert np.array_equal(alone.decision_function(rows.X), fitted(name).decision_function(rows.X))


def test_its_search_space_draws_options_that_it_takes(name):
    trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0)).ask()
    drawn = make_detector(name).search_space(trial)
    assert set(drawn) <= set(inspect.signature(DETECTORS[name].load()).parameters)
    assert drawn or not inspect.signature(DETECTORS[name].load()).parameters


def test_it_names_its_source(name):
    assert DETECTORS[name].source
    assert "Source:" in DETECTORS[name].load().__doc__
