"""The mae and swin-mae detectors, and their masks."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from raresight.detect.masked import MAE, SwinMAE
from raresight.errors import DataError, OptionError
from raresight.networks.masked import Masked, MaskedSwin, MaskedViT, hidden_units, to_patches, to_planes

QUICK = {"segments": 4, "epochs": 8, "learning_rate": 5e-3, "device": "cpu"}
SMALL = {
    MAE: {**QUICK, "patch": 8, "width": 32, "depth": 1, "decoder_width": 32, "decoder_depth": 1},
    SwinMAE: {**QUICK, "patch": 4, "unit": 8, "width": 16, "depth": 1, "heads": 2, "window": 4},
}
KINDS = list(SMALL)
REDRAWERS = [
    lambda: MaskedViT(1, 32, patch=8, width=16, depth=1, heads=2, decoder_width=16, decoder_depth=1),
    lambda: MaskedSwin(1, 32, patch=4, unit=8, width=16, depth=1, heads=2, window=4),
]


def waves(n, spot=False, seed=0):
    """Draw stripes of random phase; for an anomaly with a grey square in them."""
    random = np.random.default_rng(seed)
    place = np.arange(32)
    images = np.empty((n, 32, 32, 1), np.uint8)
    for image in images:
        image[..., 0] = 120 + 80 * np.sin(place[None] / 5 + random.uniform(0, 1)) + place[:, None]
        if spot:
            top, left = random.integers(2, 22, 2)
            image[top : top + 8, left : left + 8] = 250 - image[top : top + 8, left : left + 8]
    return images


@pytest.mark.parametrize("kind", KINDS)
def test_a_square_in_stripes_is_found_and_lit_up(kind):
    detector = kind(**SMALL[kind]).fit(waves(60))
    normal, odd = waves(20, seed=1), waves(20, spot=True, seed=1)
    scores = np.concatenate([detector.decision_function(normal), detector.decision_function(odd)])
    assert roc_auc_score(np.repeat([0, 1], 20), scores) > 0.9
    square = np.abs(normal.astype(int) - odd)[..., 0] > 40
    assert roc_auc_score(square.ravel(), detector.heatmap(odd).ravel()) > 0.8


@pytest.mark.parametrize("ratio", [0.25, 0.5, 0.75])
def test_every_patch_is_hidden_equally_often(ratio):
    masked = Masked(REDRAWERS[0](), torch.zeros(1, 32, 32), 1.0, mask_ratio=ratio, segments=4, rounds=3)
    hidden = hidden_units(masked.orders, masked.unmasked)
    assert hidden.shape == (12, 16)
    assert (hidden.sum(dim=0) == masked.times).all()
    assert masked.times == 12 * ratio


@pytest.mark.parametrize("make", REDRAWERS)
def test_what_is_hidden_does_not_leak_into_what_is_redrawn(make):
    redrawer = make().eval()
    order, x = torch.arange(16)[None], torch.rand(2, 1, 32, 32)
    patches = to_patches(x, 8)
    other = to_planes(torch.cat([patches[:, :8], torch.rand(2, 8, 64)], dim=1), 4, 8)
    seen_changed = to_planes(torch.cat([torch.rand(2, 8, 64), patches[:, 8:]], dim=1), 4, 8)
    with torch.no_grad():
        drawn = redrawer.redraw(x, order, 8)
        assert torch.allclose(drawn, redrawer.redraw(other, order, 8), atol=1e-6)
        assert not torch.allclose(drawn, redrawer.redraw(seen_changed, order, 8), atol=1e-4)


@pytest.mark.parametrize("make", REDRAWERS)
def test_masks_in_one_batch_are_masks_one_by_one(make):
    masked = Masked(make(), torch.zeros(1, 32, 32), 1.0, mask_ratio=0.5, segments=4).eval()
    x = torch.rand(3, 1, 32, 32)
    with torch.no_grad():
        each = [
            masked.residual(x, masked.orders[i : i + 1].expand(3, -1), masked.unmasked)
            for i in range(len(masked.orders))
        ]
        torch.testing.assert_close(masked.residual_map(x), sum(each) / masked.times)


def test_patches_go_back_where_they_came_from():
    x = torch.rand(2, 3, 24, 24)
    assert torch.equal(to_planes(to_patches(x, 8), 3, 8), x)


@pytest.mark.parametrize("kind", KINDS)
def test_normalised_patches_are_blind_to_brightness(kind):
    X = waves(12)
    masked = kind(**{**SMALL[kind], "epochs": 1, "norm_pix": True}).fit(X).network_.body
    planes = torch.rand(2, 1, 32, 32)
    torch.testing.assert_close(masked.target(planes), masked.target(planes + 0.5), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_images_smaller_than_a_patch_are_refused_in_one_sentence(kind):
    with pytest.raises(DataError, match="32 × 32 pixels are smaller than .* patches of 64 × 64; take larger"):
        kind(**{**SMALL[kind], "patch": 64}).fit(waves(6))


@pytest.mark.parametrize("kind", KINDS)
def test_so_are_images_that_are_not_square(kind):
    with pytest.raises(DataError, match="square images, not 32 × 24"):
        kind(**SMALL[kind]).fit(waves(6)[:, :, :24])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options",
    [
        {"mask_ratio": 0.0},
        {"mask_ratio": 1.0},
        {"segments": 1},
        {"segments": 3},
        {"top": 0.0},
        {"smoothing": 2},
        {"rounds": 0},
        {"patch": 5},
        {"heads": 5},
        {"validation_fraction": 0.9},
    ],
    ids=str,
)
def test_an_option_that_cannot_be_used_is_named(kind, options):
    with pytest.raises(OptionError, match=next(iter(options))):
        kind(**{**SMALL[kind], **options}).fit(waves(6))


@pytest.mark.parametrize("options", [{"unit": 16, "patch": 32}, {"unit": 6}, {"window": 0}], ids=str)
def test_so_is_one_of_swin_mae_alone(options):
    with pytest.raises((OptionError, DataError), match=next(iter(options))):
        SwinMAE(**{**SMALL[SwinMAE], **options}).fit(waves(6))
