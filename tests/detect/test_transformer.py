"""The vit and swin detectors."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from raresight.detect.transformer import Swin, ViT
from raresight.errors import DataError, OptionError

QUICK = {"pixels": 32, "epochs": 8, "batch_size": 8, "learning_rate": 5e-3, "device": "cpu"}
SMALL = {
    ViT: {**QUICK, "patch": 8, "width": 32, "depth": 2, "heads": 2},
    Swin: {**QUICK, "width": 16, "depths": (1, 1), "heads": (1, 2), "window": 4},
}
KINDS = list(SMALL)


def spots(n=80, size=32, seed=0):
    """Noise; in every second image (label 1) with a bright spot somewhere."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 85, (n, size, size, 1))
    y = np.arange(n) % 2
    for row in np.flatnonzero(y):
        r, c = rng.integers(0, size - 10, 2)
        images[row, r : r + 10, c : c + 10] += 127
    return images.astype(np.uint8), y


@pytest.mark.parametrize("stem", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_spots_in_noise_are_found(kind, stem):
    detector = kind(**SMALL[kind], stem=stem).fit(*spots())
    X, y = spots(60, seed=9)
    assert roc_auc_score(y, detector.decision_function(X)) > 0.9


@pytest.mark.parametrize("kind", KINDS)
def test_images_smaller_than_a_patch_are_refused_in_one_sentence(kind):
    with pytest.raises(DataError, match="12 × 12 pixels are smaller than .* patches of 16 × 16; take larger"):
        kind(**{**SMALL[kind], "patch": 16}).fit(*spots(12, size=12))


@pytest.mark.parametrize("kind", KINDS)
def test_so_are_images_that_are_not_square(kind):
    X, y = spots(12)
    with pytest.raises(DataError, match="square images, not 32 × 24"):
        kind(**SMALL[kind]).fit(X[:, :, :24], y)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (ViT, {"patch": 12}, r"patch=12.*does not divide.*choose 8"),
        (ViT, {"patch": 0}, r"patch=0"),
        (ViT, {"heads": 3}, r"width=32,heads=3"),
        (ViT, {"pixels": 30, "patch": 5}, r"patch=5"),
        (Swin, {"patch": 1}, r"patch=1.*power of 2"),
        (Swin, {"depths": (1,)}, r"depths"),
        (Swin, {"heads": (1, 3)}, r"heads=3"),
        (Swin, {"window": 0}, r"window=0"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(kind, options, message):
    with pytest.raises(OptionError, match=message):
        kind(**{**SMALL[kind], **options}).fit(*spots(12))


@pytest.mark.parametrize("kind", KINDS)
def test_three_classes_give_three_logits(kind):
    X, y = spots(18)
    labels = np.where(np.arange(18) < 6, 2, y)
    detector = kind(**{**SMALL[kind], "epochs": 1}).fit(X, labels)
    assert detector.decision_function(X).shape == (18, 3)
