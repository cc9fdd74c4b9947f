"""The U-Net: what it learns from masks, and what it refuses."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

import raresight as rs
from raresight.detect.unet import UNet
from raresight.errors import DataError, OptionError
from raresight.evidence.pixels import dice, pixel_auroc
from raresight.experiment.recipe import make_recipes
from raresight.images.augment import Augmentation, draw_moves, move
from raresight.images.load import load
from raresight.images.masks import reduced_masks
from raresight.images.store import ImageStore, build_store
from raresight.networks.rows import MapRows
from raresight.networks.unet import LesionLoss, Standardised, unet
from raresight.networks.windows import Windows, lesion_rates

QUICK = "epochs=3,batch_size=8,window=32,learning_rate=0.01"


@cache
def phantoms(seed: int, n: int = 96) -> ImageStore:
    return build_store(load(f"phantom:brain?n={n}&anomalies=0.4&difficulty=0.1&seed={seed}"))


@cache
def pair() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    X = random.integers(60, 90, (24, 32, 32, 1), dtype=np.uint8)
    masks, y = np.zeros((24, 32, 32), np.uint8), np.arange(24) % 2
    for row in np.flatnonzero(y):
        top, left = random.integers(2, 22, 2)
        masks[row, top : top + 8, left : left + 8] = 255
    X[masks > 0] += 60
    return X, y, masks


def quick(**more) -> UNet:
    return UNet(batch_size=8, learning_rate=0.01, window=32, **{"epochs": 2} | more)


def test_it_finds_lesions_in_new_images():
    train, new = phantoms(0), phantoms(1, 48)
    rows = np.arange(len(train))
    recipe = make_recipes([f"unet[{QUICK}]"], ["none"], "pixels[size=56]")[0]
    fitted = recipe.fit(train, rows[rows % 5 > 0], 0, validation=rows[rows % 5 == 0])
    every, y = np.arange(len(new)), new.manifest.y
    assert roc_auc_score(y, fitted.score(new, every)) > 0.95
    maps, masks = fitted.detector.heatmap(fitted.seen(new, every)), reduced_masks(new, 56)
    assert pixel_auroc(maps, masks) > 0.95
    assert dice(maps[y == 1], masks[y == 1]).mean() > 0.5


def test_copies_carry_their_masks():
    X, y, masks = pair()
    seen = {}

    class Spy:
        def fit(self, X, y, sample_weight=None, validation=None, masks=None):
            seen.update(X=X[np.arange(len(X))], masks=masks[np.arange(len(masks))], y=np.asarray(y))

    from raresight.experiment.balancing import Balancing
    from raresight.spec import parse_spec

    few = np.flatnonzero((y == 0) | (np.arange(24) < 6))
    for name, count in (("random-over", 24), ("random-under", 6), ("class-weight", 15), ("none", 15)):
        balancing = Balancing.of(parse_spec(name), None, few, 0, None)
        plan = balancing.plan(None, X[few], y[few])
        balancing.fit_network(Spy(), plan, None, X[few], y[few], None, masks[few])
        assert len(seen["y"]) == len(seen["masks"]) == count
        assert np.array_equal(seen["masks"].any(axis=(1, 2)), seen["y"] == 1)
        assert np.array_equal(seen["X"][..., 0] > 119, seen["masks"] > 0)


@pytest.mark.parametrize("balance", ["smote", "mixup", "focal[gamma=1]"])
def test_only_rows_with_masks_can_be_balanced(balance):
    with pytest.raises(OptionError, match="UNet learns from masks; it takes none|which UNet has not"):
        make_recipes(["unet"], [balance])


def test_an_unknown_lesion_counts_for_nothing():
    odds = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    maps = torch.zeros(2, 1, 8, 8)
    maps[0, 0, 2:5, 2:5] = 1
    alone = LesionLoss()(odds[:1], maps[:1])
    maps[1] = -1
    both = LesionLoss()(odds, maps)
    assert both[1] == 0
    torch.testing.assert_close(both[0], alone[0])


def test_a_perfect_map_costs_nothing():
    maps = torch.zeros(1, 1, 8, 8)
    maps[0, 0, 2:5, 2:5] = 1
    assert LesionLoss()(40 * maps - 20, maps).item() < 1e-3
    assert LesionLoss()(20 - 40 * maps, maps).item() > 10


def test_brightness_of_the_whole_image_says_nothing():
    images = np.zeros((1, 32, 32, 1), np.uint8)
    images[0, 8:24, 8:24, 0] = np.random.default_rng(0).integers(60, 110, (16, 16))
    network = Standardised(np.uint8)
    plain, bright = (network(torch.from_numpy(image)) for image in (images, images * 2))
    torch.testing.assert_close(plain[..., 8:24, 8:24], bright[..., 8:24, 8:24], atol=0.1, rtol=0)


def test_windows_hold_the_lesion():
    _, _, masks = pair()
    maps = torch.from_numpy(masks[1::2, None] / 255).float()
    windows, generator = Windows(16), torch.Generator().manual_seed(0)
    theta = windows.place(None, maps, generator)
    seen = move(maps, theta, mode="nearest", padding="border", size=windows.size(maps))
    assert seen.shape == (12, 1, 16, 16)
    assert (seen.flatten(1).sum(dim=1) >= 12).all()
    assert theta[:, :, 2].unique(dim=0).shape[0] == 12


def test_a_window_as_large_as_the_image_is_the_image():
    maps = torch.zeros(3, 1, 24, 32)
    theta = Windows(99).place(None, maps, torch.Generator().manual_seed(0))
    torch.testing.assert_close(theta, torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]).expand(3, 2, 3))


def test_half_of_the_windows_are_of_lesions():
    ill = torch.tensor([True, True, False, False, False, True])
    known = torch.tensor([True, True, True, True, True, False])
    rates = lesion_rates(ill, known)
    torch.testing.assert_close(rates.tolist(), [0.25, 0.25, 1 / 6, 1 / 6, 1 / 6, 0.0])


def test_maps_move_with_their_images():
    _, _, masks = pair()
    planes = torch.from_numpy(masks[:, None] / 255).float()
    how = Augmentation(rotation=90, scale=(0.9, 1.1), shift=0.1, flip_horizontal=True)
    theta = draw_moves(planes, how, torch.Generator().manual_seed(0))
    smooth, sharp = move(planes, theta), move(planes, theta, mode="nearest")
    assert set(sharp.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(sharp, planes)
    assert ((smooth > 0.5) != (sharp > 0.5)).float().mean() < 0.01


def test_rows_give_one_map_an_image():
    X, _, masks = pair()
    known = np.arange(24) != 3
    _, truth = MapRows(X, masks, known, masks.any(axis=(1, 2)))[[1, 3]]
    assert truth["maps"].shape == (2, 1, 32, 32)
    assert np.array_equal(truth["maps"][0, 0].numpy(), masks[1] / 255)
    assert (truth["maps"][1] == -1).all()


def test_an_anomaly_without_a_mask_takes_part():
    X, y, masks = pair()
    some = masks.copy()
    some[13:] = 0
    scores = [
        quick().fit(X, y, masks=m, validation=(X[:8], y[:8], masks[:8])).decision_function(X)
        for m in (masks, some)
    ]
    assert np.isfinite(scores[1]).all() and not np.array_equal(*scores)


def test_it_holds_rows_back_where_none_are_given():
    X, y, masks = pair()
    detector = quick(validation_fraction=0.25).fit(X, y, groups=np.arange(24) // 2, masks=masks)
    assert len(detector.history_) == 2
    assert detector.heatmap(X[:2]).shape == (2, 32, 32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda masks, y: None, "column mask"),
        (lambda masks, y: masks[:, :30], "do not fit"),
        (lambda masks, y: masks * 0, "no anomalous image among the training rows has a mask"),
        (lambda masks, y: masks[np.roll(np.arange(24), 1)], "12 normal image.*row 0"),
    ],
)
def test_masks_that_cannot_be_used_are_refused(change, message):
    X, y, masks = pair()
    with pytest.raises(DataError, match=message):
        quick().fit(X, y, masks=change(masks, y))


@pytest.mark.parametrize("options", [{"top": 0}, {"window": 8}, {"width": 0}, {"dropout": 1}])
def test_options_out_of_range_are_refused(options):
    X, y, masks = pair()
    name = next(iter(options))
    with pytest.raises(OptionError, match=name):
        UNet(**options).fit(X, y, masks=masks)


def test_small_images_are_refused():
    X, y, masks = pair()
    with pytest.raises(DataError, match="too small"):
        quick().fit(X[:, :16, :16], y, masks=masks[:, :16, :16])


def test_a_run_on_a_set_without_masks_names_the_column(small_set, tmp_path):
    with pytest.raises(DataError, match="column mask"):
        rs.compare(rs.load(small_set), models=["unet"], balance=["none"], out=tmp_path / "run", folds=2)


def test_it_is_small():
    assert 1e5 < sum(weight.numel() for weight in unet(1).parameters()) < 1e6
