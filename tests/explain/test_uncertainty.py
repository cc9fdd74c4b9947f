"""Mean and spread of several scores of the same image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import raresight as rs
from raresight.errors import OptionError
from raresight.experiment.recipe import make_recipes
from raresight.explain.uncertainty import doubt_images, fit_members, gentle
from raresight.images.augment import AUGMENTATIONS
from raresight.images.preprocess import Preprocess
from raresight.images.store import build_store

CNN = "cnn[pixels=32,width=8,members=1,epochs=2,dropout=0.5]"


@pytest.fixture(scope="module")
def store(small_set):
    return build_store(rs.load(small_set, normal=["normal"]), Preprocess(size=32), threads=1)


@pytest.fixture(scope="module")
def split(store):
    order = np.random.default_rng(0).permutation(len(store))
    return order[:40], order[40:]


@pytest.fixture(scope="module")
def network(store, split):
    (recipe,) = make_recipes([CNN], ["none"], "pixels[size=32]")
    return recipe.fit(store, split[0], 0, validation=split[1])


@pytest.fixture(scope="module")
def logistic(store, split):
    (recipe,) = make_recipes(["logistic"], ["none"], "pca[components=10,size=32]")
    return recipe.fit(store, split[0], 0)


def test_an_ensemble_is_its_members_mean_and_spread(store, split, logistic):
    groups = store.manifest.groups()
    members = fit_members(logistic.recipe, store, groups, split[0], folds=3)
    assert len({tuple(m.rows) for m in members}) == 3
    assert not any(np.isin(m.rows, split[1]).any() for m in members)
    found = doubt_images(members, store, split[1])
    scores = np.stack([m.score(store, split[1]) for m in members])
    assert found.mean == pytest.approx(scores.mean(axis=0))
    assert found.spread == pytest.approx(scores.std(axis=0, ddof=1))
    assert (found.spread > 0).all()


def test_a_network_stops_by_the_fold_that_it_does_not_see(store, split, network):
    members = fit_members(network.recipe, store, store.manifest.groups(), split[0], folds=2)
    assert sum(len(m.rows) for m in members) == len(split[0])
    assert len(members[0].detector.validation_scores_) == len(members[1].rows)


def test_dropout_scatters_alike_each_time_and_leaves_no_trace(store, split, network):
    before, state = network.score(store, split[1]), torch.random.get_rng_state()
    once, again = (doubt_images(network, store, split[1], "dropout", passes=6, seed=3) for _ in range(2))
    assert (once.spread == again.spread).all() and (once.spread > 0).all()
    other = doubt_images(network, store, split[1], "dropout", passes=6, seed=50)
    assert (once.spread != other.spread).any()
    assert (network.score(store, split[1]) == before).all()
    assert torch.equal(torch.random.get_rng_state(), state)
    many = doubt_images(network, store, split[1], "dropout", passes=60)
    assert np.corrcoef(many.mean, before)[0, 1] > 0.9


def test_the_first_view_is_the_image_itself(store, split, logistic):
    plain = logistic.score(store, split[1])
    moved = doubt_images(logistic, store, split[1], "augmentation", passes=4)
    assert (moved.spread > 0).all() and np.corrcoef(plain, moved.mean)[0, 1] > 0.5
    how = AUGMENTATIONS["none"]
    assert gentle(how).rotation == 0 and gentle(how).scale == (1.0, 1.0)


def test_views_of_an_image_that_no_move_changes_do_not_scatter(store, logistic, monkeypatch):
    """A score over images of one grey: only what the border brings in could move it."""
    grey = np.full((3, 32, 32, 1), 0, np.uint8)
    monkeypatch.setattr(type(store), "pixels", property(lambda self: grey))
    found = doubt_images(logistic, store, np.arange(3), "augmentation", passes=6)
    assert found.spread == pytest.approx(0, abs=1e-9)


def test_small_moves_stay_small():
    fundus = gentle(AUGMENTATIONS["fundus"])
    assert fundus.rotation == 5 and fundus.shift == 0.02 and fundus.flip_vertical


@pytest.mark.parametrize(
    ("method", "message"),
    [("guess", "unknown method"), ("ensemble", "at least two"), ("dropout", "has no dropout")],
)
def test_what_does_not_fit_is_refused(store, logistic, method, message):
    with pytest.raises(OptionError, match=message):
        doubt_images(logistic, store, np.arange(2), method)


def test_several_recipes_go_with_an_ensemble_only(store, logistic):
    with pytest.raises(OptionError, match="one fitted recipe"):
        doubt_images([logistic, logistic], store, np.arange(2), "augmentation")
