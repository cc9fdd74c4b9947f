"""The transfer detector: what it sees, how it learns, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import cohen_kappa_score, roc_auc_score

import raresight as rs
from raresight.balance import SAMPLERS
from raresight.detect.transfer import Transfer
from raresight.errors import DataError, OptionError
from raresight.experiment.recipe import make_recipes
from raresight.images.load import load
from raresight.images.store import build_store
from raresight.networks.heads import OrdinalHead, SoftmaxHead
from raresight.represent.trunk import Trunk


@pytest.fixture(scope="module")
def store():
    return build_store(load("phantom:brain?n=120&anomalies=0.4&difficulty=0.3&seed=0"))


@pytest.fixture(scope="module")
def maps(store):
    return Trunk(1, views=4).fit(store, np.arange(0)).transform(store, np.arange(len(store)))


QUICK = {"stages": 1, "epochs": 8, "learning_rate": 1e-3}


def test_last_stages_trained_on_cached_maps_find_anomalies(store, maps):
    y, train = store.manifest.y, np.arange(len(store)) % 3 != 0
    detector = Transfer(**QUICK).fit(maps[train], y[train], validation=(maps[~train], y[~train]))
    assert roc_auc_score(y[~train], detector.decision_function(maps[~train])) > 0.9
    assert len(detector.history_) == 8


def test_a_score_is_the_mean_over_the_mirror_images_or_as_many_views_as_one_wants(store, maps):
    y = store.manifest.y
    held = maps[::3], y[::3]
    both = Transfer(**QUICK).fit(maps, y, validation=held)
    changed = maps[:6].copy()
    changed[:, 2:] = 0
    assert (both.decision_function(changed) == both.decision_function(maps[:6])).all()
    changed[:, 1] = 0
    assert (both.decision_function(changed) != both.decision_function(maps[:6])).all()
    one = Transfer(**QUICK, scored_views=1).fit(maps, y, validation=held)
    assert (one.decision_function(changed) == one.decision_function(maps[:6])).all()


def test_synthetic_rows_are_made_of_maps_when_they_are_read(store, maps):
    rows = (
        np.flatnonzero(store.manifest.y == 0)[:40].tolist() + np.flatnonzero(store.manifest.y)[:10].tolist()
    )
    X, y = maps[rows], store.manifest.y[rows]
    plan = SAMPLERS["smote"].load()(random_state=0).plan(X.reshape(len(X), -1), y)
    view = plan.view(X)
    assert len(plan) == 30
    blended = view[np.array([len(X)])]
    assert blended.dtype == np.float16
    base, partner, step = plan.base[0], plan.partner[0], plan.step[0]
    expected = X[base].astype(np.float32) * (1 - step) + X[partner].astype(np.float32) * step
    np.testing.assert_allclose(blended[0], expected, rtol=5e-3, atol=2e-2)
    detector = Transfer(stages=1, epochs=2).fit(view, plan.labels(y), validation=(X, y))
    assert np.isfinite(detector.decision_function(X)).all()


@pytest.mark.parametrize(
    ("stages", "sees"),
    [(0, "embedding"), (2, "trunk[stages=2]"), ("all", "pixels[size=224]")],
)
def test_what_it_sees_follows_from_its_stages(stages, sees):
    recipe = make_recipes([f"transfer[stages={stages}]"], ["none"], "embedding")[0]
    assert str(recipe.representation) == sees
    assert recipe.network


@pytest.mark.parametrize("balance", ["smote[blend=pixels]", "deepsmote"])
def test_maps_are_not_made_of_synthetic_images(balance):
    with pytest.raises(OptionError, match="learns from trunk as it is kept"):
        make_recipes(["transfer"], [balance])


def test_a_head_on_the_frozen_embedding():
    rng = np.random.default_rng(0)
    X = rng.normal(3, 2, (200, 8)).astype(np.float32)
    y = (X[:, 0] + X[:, 1] > 6).astype(int)
    detector = Transfer(stages=0, epochs=40, patience=40, learning_rate=3e-3).fit(X[:150], y[:150])
    assert roc_auc_score(y[150:], detector.decision_function(X[150:])) > 0.9


def spots(n, seed=0):
    rng = np.random.default_rng(seed)
    images, y = rng.integers(0, 80, (n, 48, 48, 1)), np.arange(n) % 2
    for row in np.flatnonzero(y):
        r, c = rng.integers(2, 28, 2)
        images[row, r : r + 14, c : c + 14] += 120
    return images.astype(np.uint8), y


@pytest.mark.parametrize("backbone", ["lite0", "monai:resnet18"])
def test_a_whole_network_is_trained_from_pixels(backbone):
    detector = Transfer(backbone=backbone, stages="all", pixels=48, epochs=8, patience=8, learning_rate=3e-4)
    detector.fit(*spots(40))
    assert roc_auc_score((fresh := spots(30, 1))[1], detector.decision_function(fresh[0])) > 0.8


def graded(n, seed=0):
    """Features whose first says how severe a row is, from 0 to 3."""
    rng = np.random.default_rng(seed)
    grade = rng.integers(0, 4, n)
    X = rng.normal(0, 1, (n, 20)).astype(np.float32)
    X[:, 0] += 1.5 * grade
    return X, grade


def test_ordered_classes_get_one_severity():
    detector = Transfer(stages=0, head="ordinal", epochs=20, patience=20, learning_rate=1e-3).fit(
        *graded(400)
    )
    X, grade = graded(200, seed=1)
    logits = detector.decision_function(X)
    assert logits.shape == (200, 4)
    assert cohen_kappa_score(grade, logits.argmax(axis=1), weights="quadratic") > 0.7
    shares = detector.predict_proba(X)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    severity = shares @ np.arange(4)
    assert np.corrcoef(severity, grade)[0, 1] > 0.7


def test_the_likeliest_ordered_class_is_the_number_of_thresholds_passed():
    head = OrdinalHead(3, 4, dropout=0).eval()
    with torch.no_grad():
        torch.nn.init.normal_(head.severity.linear.weight)
        x = torch.randn(50, 3)
        passed = (head.severity(x) > head.gain * head.thresholds).sum(dim=1)
        assert (head(x).argmax(dim=1) == passed).all()


def test_a_head_begins_at_zero_and_learns_as_many_times_as_fast():
    steps = {}
    for gain in (1.0, 10.0):
        head = SoftmaxHead(4, 2, dropout=0, gain=gain)
        optimiser = torch.optim.Adam(head.parameters(), lr=1e-3)
        x = torch.ones(2, 4)
        assert (head(x) == 0).all()
        torch.nn.functional.cross_entropy(head(x), torch.tensor([1, 1])).backward()
        optimiser.step()
        steps[gain] = head(x)[0, 1].item()
    assert steps[10.0] == pytest.approx(10 * steps[1.0], rel=1e-3)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"stages": 5}, "choose 0, 1, 2, 3, 4 or all"),
        ({"head": "softmin"}, "choose softmax or ordinal"),
        ({"backbone": "vgg"}, "unknown backbone 'vgg'"),
        ({"backbone": "timm:resnet18", "stages": 2}, "write stages=0 or stages=all"),
        ({"backbone": "monai:resnet18", "stages": 0}, "stages=all"),
    ],
)
def test_options_that_cannot_be_are_refused(options, match):
    with pytest.raises(OptionError, match=match):
        _ = Transfer(**options).sees


def test_rows_of_other_stages_are_refused(maps):
    with pytest.raises(DataError, match=r"transfer\[stages=2\] sees trunk\[stages=2\]"):
        Transfer(stages=2).fit(maps, np.arange(len(maps)) % 2)
    with pytest.raises(DataError, match="not \\(4, 32, 32, 1\\)"):
        Transfer(stages=0).fit(np.zeros((4, 32, 32, 1), np.uint8), [0, 1, 0, 1])


def test_it_is_compared_like_any_other_detector(tmp_path):
    images = rs.load("phantom:brain?n=100&anomalies=0.5&difficulty=0&seed=3")
    models = ["transfer[stages=1,epochs=3,learning_rate=1e-3]"]
    run = rs.compare(images, models, ["none"], folds=2, workers=1, out=tmp_path / "run")
    assert run.metrics["recipes"][0]["metrics"]["auroc"]["mean"] > 0.8


@torch.no_grad()
def test_its_map_is_what_the_score_loses_without_a_cell():
    maps = np.random.default_rng(0).normal(size=(16, 1, 7, 7, 192)).astype(np.float16)
    label = np.arange(16) % 2
    detector = Transfer(stages=1, epochs=1, batch_size=8, scored_views=1)
    detector.fit(maps, label, validation=(maps[:4], label[:4]))
    found = detector.mapper().eval()(torch.from_numpy(maps[:2]))
    assert found.shape == (2, 7, 7)
    (member,) = detector.network_.body.members
    last = member[0].network.last_maps(detector.network_.pixels(torch.from_numpy(maps[:2, 0])))
    without = last.flatten(2).numpy()
    without = np.delete(without, 24, axis=2).mean(axis=2)
    logits = member[1](torch.from_numpy(without))
    left = detector.decision_function(maps[:2]) - (logits[:, 1] - logits[:, 0]).numpy()
    np.testing.assert_allclose(found[:, 3, 3], left, atol=1e-4)
