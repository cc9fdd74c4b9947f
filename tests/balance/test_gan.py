from __future__ import annotations

import numpy as np
import pytest
import torch
from test_latent import discs, labels

import raresight as rs
from raresight.balance import GAN
from raresight.balance import gan as gan_module
from raresight.balance.gan import Generated
from raresight.errors import DataError, LeakageError, OptionError, RaresightError
from raresight.experiment.recipe import make_recipes
from raresight.images.store import build_store
from raresight.networks import wgan

QUICK = {"random_state": 0, "steps": 2, "critic_steps": 1, "latent": 4, "width": 2}


@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (3, np.uint16)])
def test_rows_batches_view_and_balanced_agree_and_keep_size_and_dtype(channels, dtype):
    X, y = discs(30, 40, channels, dtype), labels(30)
    plan = GAN(**QUICK).plan(X, y)
    rows = plan.rows(X)
    assert rows.shape == (14, 40, 40, channels) and rows.dtype == dtype
    assert plan.labels(y).sum() == 22 and len(np.unique(rows.reshape(14, -1), axis=0)) == 14
    balanced, view = plan.balanced(X), plan.view(X)
    assert (balanced == np.concatenate([X, rows])).all()
    near = np.asarray(view[np.array([43, 2, 30])], float) - balanced[[43, 2, 30]]
    # Another batch size may round another way, and enlarging sharpens that.
    assert np.abs(near).max() <= 2 * np.iinfo(dtype).max / 255
    streamed = np.concatenate([batch.copy() for batch in plan.batches(X, 5)])
    assert np.abs(streamed.astype(float) - rows).max() <= 2 * np.iinfo(dtype).max / 255


def test_a_parent_is_of_the_class_and_every_training_row_is_accounted_for():
    X, y = discs(24)[..., 0], labels(24)
    groups = np.arange(24) // 2
    plan = GAN(**QUICK).plan(X, y, groups=groups)
    assert isinstance(plan.law, Generated)
    assert (y[plan.base] == plan.label).all() and (plan.base == plan.partner).all()
    assert (plan.parents() == np.arange(24)).all() and plan.check(24) == 0
    with pytest.raises(LeakageError):
        plan.check(np.arange(23))
    assert (plan.groups == groups).all() and plan.balanced(X).shape == (32, 40, 40)


def test_the_seed_decides_and_no_global_generator_is_touched():
    X, y = discs(24), labels(24)
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    first, again = (GAN(**QUICK).plan(X, y).rows(X) for _ in range(2))
    assert (torch.random.get_rng_state() == before[0]).all()
    assert (np.random.get_state()[1] == before[1]).all()
    assert (first == again).all()
    assert (first != GAN(**{**QUICK, "random_state": 1}).plan(X, y).rows(X)).any()


def test_what_is_drawn_is_of_the_class_asked_for():
    dark, bright = discs(20) // 4, 255 - discs(20, seed=1) // 4
    X, y = np.concatenate([dark, bright[:6]]), labels(26, 6)
    options = {**QUICK, "steps": 80, "critic_steps": 2, "width": 4, "learning_rate": 3e-3}
    made = GAN(**options).plan(X, y).rows(X).astype(float).mean(axis=(1, 2, 3))
    apart = (bright.mean() + dark.mean()) / 2
    assert (made > apart).mean() > 0.9


def test_two_rare_rows_are_enough_and_one_is_not():
    assert len(GAN(**QUICK).plan(discs(20), labels(20, 2)).rows(discs(20))) == 16
    with pytest.raises(DataError, match="two rows of class 1"):
        GAN(**QUICK).plan(discs(20), labels(20, 1))


def test_what_is_no_image_is_refused():
    with pytest.raises(DataError, match="GAN works on uint8 or uint16 images"):
        GAN(**QUICK).plan(np.ones((24, 30)), labels(24))


def test_a_plan_read_with_other_images_is_refused():
    X, y = discs(24), labels(24)
    plan = GAN(**QUICK).plan(X, y)
    for wrong in (X[:20], X.astype(np.uint16), np.repeat(X, 3, axis=3)):
        with pytest.raises(DataError, match="the plan was made for 24 uint8 images of 1 channel"):
            plan.rows(wrong)


@pytest.mark.parametrize("option", ["latent", "width", "steps", "critic_steps", "learning_rate"])
def test_an_option_out_of_range_is_named(option):
    with pytest.raises(OptionError, match=option):
        GAN(**{**QUICK, option: 0}).plan(discs(24), labels(24))


def test_training_that_diverges_is_begun_again_and_then_given_up(monkeypatch):
    X, y = discs(24), labels(24)
    train, seeds = wgan._train, []

    def failing(*args):
        seeds.append(args[-1])
        if len(seeds) < 3:
            raise wgan.DivergedError("a loss is no longer a finite number")
        return train(*args)

    monkeypatch.setattr(wgan, "_train", failing)
    sampler = GAN(**QUICK)
    sampler.plan(X, y)
    assert sampler.pair_.restarts == 2 and len(set(seeds)) == 3
    monkeypatch.undo()
    with pytest.raises(RaresightError, match="choose a learning_rate below"):
        GAN(**{**QUICK, "learning_rate": 1e30, "steps": 8}).plan(X, y)


def test_too_few_rows_are_found_before_the_training(monkeypatch):
    monkeypatch.setattr(gan_module, "fit_pair", lambda *a, **k: pytest.fail("trained"))
    with pytest.raises(DataError, match="two rows"):
        GAN(**QUICK).plan(discs(24), labels(24, 1))


@pytest.mark.parametrize("model", ["logistic", "cnn[epochs=1,members=1]"])
def test_detectors_train_on_drawn_images(small_set, model):
    store = build_store(rs.load(small_set))
    (recipe,) = make_recipes(
        [model], ["gan[latent=4,steps=2,width=2]"], None if "cnn" in model else "pixels[size=28]"
    )
    train, held = np.r_[0:30, 40:58], np.r_[30:40, 58:64]
    fitted = recipe.fit(store, train, 0, validation=held if recipe.network else None)
    assert len(fitted.plan) == 12 and fitted.plan.check(len(train)) == 0
    assert np.isfinite(fitted.score(store, held)).all()
