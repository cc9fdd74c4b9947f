from __future__ import annotations

import numpy as np
import pytest
import torch

import raresight as rs
from raresight.balance import SMOTE, LatentSMOTE
from raresight.balance import latent as latent_module
from raresight.balance.latent import decoded
from raresight.errors import DataError, OptionError
from raresight.experiment.recipe import make_recipes
from raresight.images.store import build_store
from raresight.networks.autoencoder import fit_autoencoder, resized

QUICK = {"random_state": 0, "steps": 8, "latent": 8, "width": 4}


def discs(n: int, side: int = 40, channels: int = 1, dtype: type = np.uint8, seed: int = 0) -> np.ndarray:
    """Draw bright discs of random place and size."""
    random = np.random.default_rng(seed)
    place = np.arange(side)
    images = np.empty((n, side, side, channels), dtype)
    for i in range(n):
        x, y, radius = [*random.uniform(0.3, 0.7, 2).tolist(), random.uniform(0.1, 0.25)]
        inside = np.hypot(place[:, None] - y * side, place[None] - x * side) < radius * side
        colour = random.uniform(0.6, 1, channels)
        images[i] = (np.where(inside[..., None], colour, 0.1) * np.iinfo(dtype).max).astype(dtype)
    return images


def labels(n: int, rare: int = 8) -> np.ndarray:
    return np.r_[np.zeros(n - rare, int), np.ones(rare, int)]


@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (3, np.uint16)])
def test_rows_batches_view_and_balanced_agree_and_keep_size_and_dtype(channels, dtype):
    X, y = discs(30, 40, channels, dtype), labels(30)
    plan = LatentSMOTE(**QUICK).plan(X, y)
    rows = plan.rows(X)
    assert rows.shape == (14, 40, 40, channels) and rows.dtype == dtype
    assert len(plan.labels(y)) == 44 and plan.labels(y).sum() == 22
    balanced, view = plan.balanced(X), plan.view(X)
    assert (balanced == np.concatenate([X, rows])).all()
    assert view.shape == balanced.shape and view.dtype == dtype and len(view) == 44
    near = np.asarray(view[np.array([43, 2, 30])], float) - balanced[[43, 2, 30]]
    assert np.abs(near).max() <= np.iinfo(dtype).max / 255  # another batch size may round another way
    streamed = np.concatenate([batch.copy() for batch in plan.batches(X, 5)])
    assert np.abs(streamed.astype(float) - rows).max() <= np.iinfo(dtype).max / 255


def test_a_plan_made_at_one_size_draws_at_another():
    X, y = discs(24), labels(24)
    plan = LatentSMOTE(**QUICK).plan(X, y)
    assert plan.rows(resized(X, 56, 72)).shape == (8, 56, 72, 1)
    assert plan.rows(X).shape == (8, 40, 40, 1)


def test_images_without_a_channel_axis_stay_so():
    X, y = discs(24)[..., 0], labels(24)
    assert LatentSMOTE(**QUICK).plan(X, y).balanced(X).shape == (32, 40, 40)


def test_a_row_is_the_decoders_picture_of_the_point_between_its_parents_codes():
    X, y = discs(24), labels(24)
    sampler = LatentSMOTE(**QUICK)
    plan = sampler.plan(X, y)
    codes = sampler.codec_.encode(X)
    between = codes[plan.base] + plan.step[:, None] * (codes[plan.partner] - codes[plan.base])
    drawn = sampler.codec_.decode(between.astype(np.float32), 40, 40)
    assert np.abs(drawn.astype(int) - plan.rows(X)).max() <= 1
    assert (y[plan.parents()] == 1).all() and plan.check(24) == 0
    assert (plan.base != plan.partner).all() and (plan.label == 1).all()


def test_neighbours_are_those_of_the_latent_space():
    X, y = discs(40), labels(40, 15)
    sampler = LatentSMOTE(**QUICK, k_neighbors=3)
    plan = sampler.plan(X, y)
    codes = sampler.codec_.encode(X)
    away = np.linalg.norm(codes[plan.base][:, None] - codes[None, 25:], axis=2)
    away[np.arange(len(plan)), plan.base - 25] = np.inf
    nearest = 25 + np.argsort(away, axis=1)[:, :3]
    assert (nearest == plan.partner[:, None]).any(axis=1).all()


def test_the_seed_decides_and_no_global_generator_is_touched():
    X, y = discs(24), labels(24)
    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    first, again = (LatentSMOTE(**QUICK).plan(X, y).rows(X) for _ in range(2))
    assert (torch.random.get_rng_state() == before[0]).all()
    assert (np.random.get_state()[1] == before[1]).all()
    other = LatentSMOTE(**{**QUICK, "random_state": 1}).plan(X, y).rows(X)
    assert (first == again).all() and (first != other).any()


def error(made: np.ndarray, wanted: np.ndarray) -> float:
    return float(np.sqrt(np.square(made.astype(float) - wanted).mean()))


def test_training_improves_on_the_components_that_it_starts_from():
    X = discs(60, 64)
    errors = []
    for steps in (1, 100):
        codec = fit_autoencoder(X, latent=3, width=8, steps=steps, seed=0)
        errors.append(error(codec.decode(codec.encode(X), 64, 64), X))
    assert errors[1] < 0.8 * errors[0] < 0.8 * error(X.mean(axis=0), X)


def test_a_rare_class_is_drawn_as_well_as_a_frequent_one():
    X = np.concatenate([discs(90, 64), 255 - discs(6, 64, seed=1)])
    y = labels(96, 6)
    heeded, not_heeded = (fit_autoencoder(X, given, latent=8, width=4, steps=1) for given in (y, None))
    drawn, others = (codec.decode(codec.encode(X[90:]), 64, 64) for codec in (heeded, not_heeded))
    assert error(drawn, X[90:]) < 0.6 * error(others, X[90:])


def test_only_what_is_read_is_decoded(monkeypatch):
    X, y = discs(24), labels(24)
    sampler = LatentSMOTE(**QUICK)
    view = sampler.plan(X, y).view(X)
    counted = []
    decode = type(sampler.codec_).decode
    monkeypatch.setattr(
        type(sampler.codec_),
        "decode",
        lambda self, codes, *size: counted.append(len(codes)) or decode(self, codes, *size),
    )
    assert (view[np.array([3, 0])] == X[[3, 0]]).all() and counted == []
    _ = view[np.array([3, 25, 28])]
    assert counted == [2]


def test_neighbours_from_elsewhere_can_be_blended_in_the_latent_space():
    X, y = discs(24), labels(24)
    elsewhere = SMOTE(random_state=0).plan(np.random.default_rng(0).normal(size=(24, 5)), y)
    codec = LatentSMOTE(**QUICK).fit_codec(X, y)
    plan = decoded(elsewhere, codec, codec.encode(X))
    assert (plan.base == elsewhere.base).all() and (plan.partner == elsewhere.partner).all()
    assert (plan.rows(X) != elsewhere.rows(X)).any()
    with pytest.raises(OptionError, match="do not lie between two parents"):
        decoded(plan, codec, codec.encode(X))


def test_groups_are_heeded_and_kept():
    X, y = discs(24), labels(24)
    groups = np.arange(24) // 2
    plan = LatentSMOTE(**QUICK, partners="other-group").plan(X, y, groups=groups)
    assert (groups[plan.base] != groups[plan.partner]).all()
    assert (plan.groups == groups).all()


@pytest.mark.parametrize(
    "X",
    [np.ones((24, 30)), np.ones((24, 8, 8, 1)), np.ones((24, 8, 8, 2), np.uint8)],
    ids=["2-D", "float", "2c"],
)
def test_what_is_no_image_is_refused(X):
    with pytest.raises(DataError, match="LatentSMOTE works on uint8 or uint16 images"):
        LatentSMOTE(**QUICK).plan(X, labels(24))


def test_a_plan_read_with_other_images_is_refused():
    X, y = discs(24), labels(24)
    plan = LatentSMOTE(**QUICK).plan(X, y)
    for wrong in (X[:20], X.astype(np.uint16), np.repeat(X, 3, axis=3), X.reshape(24, -1)):
        with pytest.raises(DataError, match="the plan was made for 24 uint8 images of 1 channel"):
            plan.rows(wrong)


def test_too_few_rows_are_found_before_the_training(monkeypatch):
    monkeypatch.setattr(latent_module, "fit_autoencoder", lambda *a, **k: pytest.fail("trained"))
    with pytest.raises(DataError, match="k_neighbors=2"):
        LatentSMOTE(**QUICK).plan(discs(24), labels(24, 3))


@pytest.mark.parametrize("option", ["latent", "width", "steps", "k_neighbors"])
def test_an_option_out_of_range_is_named(option):
    with pytest.raises(OptionError, match=option):
        LatentSMOTE(**{**QUICK, option: 0}).plan(discs(24), labels(24))


def test_images_that_are_all_alike_are_drawn_as_they_are():
    X = np.repeat(discs(1), 24, axis=0) + np.r_[np.zeros(23, np.uint8), np.uint8(1)][:, None, None, None]
    codec = fit_autoencoder(np.repeat(X[:1], 24, axis=0), latent=4, width=4, steps=2)
    assert np.abs(codec.decode(codec.encode(X), 64, 64).astype(int) - resized(X, 64, 64)).max() <= 8


@pytest.mark.parametrize("model", ["logistic", "cnn[epochs=1]"])
def test_detectors_train_on_decoded_images(small_set, model):
    store = build_store(rs.load(small_set))
    balance = "latent-smote[latent=4,steps=2,width=4]"
    (recipe,) = make_recipes([model], [balance], None if "cnn" in model else "pixels[size=28]")
    train, held = np.r_[0:30, 40:58], np.r_[30:40, 58:64]
    fitted = recipe.fit(store, train, 0, validation=held if recipe.network else None)
    assert len(fitted.plan) == 12 and fitted.plan.check(len(train)) == 0
    assert np.isfinite(fitted.score(store, held)).all()
