"""Shortcuts planted in phantoms go, and the lesions stay."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from raresight.errors import OptionError
from raresight.images.anatomy import anatomy_mask, disc_ellipse
from raresight.images.neutralise import NEUTRALISERS, match_intensity, neutralise
from raresight.images.phantoms import load_phantom
from raresight.images.preprocess import Preprocess
from raresight.images.resample import resample

COUNT, SIDE, SOURCE = 160, 96, 192
ALL = tuple(NEUTRALISERS)


@pytest.fixture(scope="module", params=["fundus", "brain"])
def phantom(request):
    """160 images, half of them anomalous, with their lesions' masks."""
    kind = request.param
    table, source = load_phantom(f"phantom:{kind}?n={COUNT}&anomalies=0.5&size={SOURCE}&difficulty=0.2")
    y = (table["label"] == "anomalous").to_numpy().astype(int)
    images = [source.read(row) for row in range(COUNT)]
    preset = {"fundus": "fundus", "brain": "mri"}[kind]
    return preset, images, y, [source.mask(r) for r in range(COUNT)], table["group"].to_numpy()


def squash(image, share):
    """Squash to a share of the width, between black bars."""
    width = round(image.shape[1] * share)
    bar = image.shape[1] - width
    pad = ((0, 0), (bar // 2, bar - bar // 2), *[(0, 0)] * (image.ndim - 2))
    return np.pad(resample(image, image.shape[0], width), pad)


def frame(image, bar):
    return np.pad(image, ((bar, bar), (2 * bar, 2 * bar), *[(0, 0)] * (image.ndim - 2)))


def expose(image, gain):
    return np.clip(image * gain, 0, 255).astype(np.uint8)


def tag(image, level):
    """Write a bright tag in a corner and lift the background."""
    lifted = np.maximum(image, np.uint8(level // 12))
    lifted[4:16, 4:24] = level
    return lifted


def outline(image):
    """Row and column means of what is not black: what a border probe sees."""
    lit = (image.max(axis=2) if image.ndim == 3 else image) > 10
    return np.concatenate([lit.mean(axis=0), lit.mean(axis=1)])


def histogram(image):
    planes = image if image.ndim == 3 else image[..., None]
    return np.concatenate([np.histogram(planes[..., c], 32, (0, 256))[0] for c in range(planes.shape[2])])


def corner(image):
    return np.asarray(image[:14, :14], float).ravel()


def auroc(images, y, look, groups):
    """Cross-validated AUROC of a small forest on what `look` gives, patients kept whole."""
    X = np.stack([look(image) for image in images])
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0)
    forest = RandomForestClassifier(200, min_samples_leaf=3, random_state=0)
    return roc_auc_score(
        y, cross_val_predict(forest, X, y, groups=groups, cv=folds, method="predict_proba")[:, 1]
    )


PLANTED = {
    "frame": (lambda im, y, r: frame(im, int(8 + 16 * y + r.integers(6))), outline, ("border", "aspect")),
    "ellipse": (lambda im, y, r: squash(im, 0.95 - 0.2 * y + r.uniform(0, 0.04)), outline, ("aspect",)),
    "ellipse, cut": (
        lambda im, y, r: squash(im, 0.95 - 0.2 * y + r.uniform(0, 0.04)),
        outline,
        ("border", "aspect"),
    ),
    "exposure": (lambda im, y, r: expose(im, 0.7 + 0.25 * y + r.uniform(0, 0.05)), histogram, ("intensity",)),
    "tag": (lambda im, y, r: tag(im, int(120 + 100 * y)), corner, ("background",)),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_shortcut_goes(phantom, name):
    plant, look, names = PLANTED[name]
    preset, images, _, _, groups = phantom
    random = np.random.default_rng(0)
    # Not the phantom's own labels: lesions may show in what is looked at, and should.
    _, patient = np.unique(groups, return_inverse=True)
    y = (random.permutation(patient.max() + 1) % 2)[patient]
    planted = [plant(image, label, random) for image, label in zip(images, y, strict=True)]
    before = [Preprocess(SIDE)(image) for image in planted]
    # The preset's crop is left out: it is no part of what is tested.
    after = []
    for image in planted:
        cut, mask = neutralise(image, names, preset, SIDE)
        after.append(Preprocess(SIDE)(match_intensity(cut, mask) if "intensity" in names else cut))
    assert auroc(before, y, look, groups) >= 0.9
    assert auroc(after, y, look, groups) <= 0.65


def test_what_is_left_still_shows_the_lesion(phantom):
    preset, images, _, lesions, _ = phantom
    shares, seen = [], []
    for image, lesion in zip(images, lesions, strict=True):
        if not lesion.any():
            continue
        anatomy = anatomy_mask(image, preset)
        shares.append((lesion & anatomy).sum() / lesion.sum())
        marked = image.copy()
        marked[lesion] = 255
        plain, _ = neutralise(image, ("border", "aspect", "background"), preset, SIDE)
        shown, _ = neutralise(marked, ("border", "aspect", "background"), preset, SIDE)
        seen.append((plain != shown).any())
    assert np.mean(shares) > 0.98
    # Of a disc the rim is cut off, by design, and some lesions lie there; of a head nothing is.
    assert np.mean(seen) >= (0.6 if preset == "fundus" else 1.0)


def disc(height=120, width=160, x=80.0, y=60.0, half_width=60.0, half_height=50.0, level=180):
    rows, columns = np.ogrid[:height, :width]
    inside = ((columns - x) / half_width) ** 2 + ((rows - y) / half_height) ** 2 <= 1
    return np.where(inside, level, 0).astype(np.uint8)


@pytest.mark.parametrize(
    "drawn",
    [
        {},
        {"half_width": 40, "half_height": 70},
        {"half_width": 75, "half_height": 75},
        {"x": 70, "y": 66, "half_width": 50},
        {"half_width": 90, "half_height": 80},
    ],
)
def test_the_ellipse_is_found_even_where_the_frame_cuts_it(drawn):
    found = disc_ellipse(anatomy_mask(disc(**drawn), "fundus"))
    wanted = {"x": 80.0, "y": 60.0, "half_width": 60.0, "half_height": 50.0, **drawn}
    assert found.x == pytest.approx(wanted["x"], abs=1) and found.y == pytest.approx(wanted["y"], abs=1)
    assert found.width == pytest.approx(wanted["half_width"], rel=0.02)
    assert found.height == pytest.approx(wanted["half_height"], rel=0.02)


def test_a_notch_does_not_move_the_ellipse():
    image = disc()
    image[:, 134:] = 0
    image[20:30, 120:150] = 180
    found = disc_ellipse(anatomy_mask(image, "fundus"))
    assert found.width == pytest.approx(60, rel=0.03) and found.height == pytest.approx(50, rel=0.03)


def test_text_panels_and_rules_are_no_anatomy():
    head = disc(200, 200, 100, 100, 60, 75)
    image = np.pad(head, ((0, 0), (40, 40)))
    expected = image > 0
    image[:, :30] = image[:, -30:] = 255  # white panels
    image[5:12, 60:80] = 255  # text
    image[-4:-2, 40:-40] = 200  # a rule
    found = anatomy_mask(image, "mri")
    assert (found & expected).sum() / (found | expected).sum() > 0.97


def test_holes_are_filled():
    image = disc()
    image[50:70, 70:90] = 0
    assert anatomy_mask(image, "mri")[60, 80]


def test_a_rectified_disc_is_round_and_in_one_place():
    results = []
    for drawn in ({}, {"half_width": 35, "half_height": 55}, {"x": 60, "half_width": 50, "half_height": 42}):
        image, mask = neutralise(disc(**drawn), ("aspect",), "fundus", 100)
        results.append(image > 90)
        assert image.shape == mask.shape == (100, 100)
    for other in results[1:]:
        assert (other == results[0]).mean() > 0.98


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("colour", [False, True])
def test_histograms_become_equal_whatever_the_contrast(dtype, colour):
    random = np.random.default_rng(0)
    full = np.iinfo(dtype).max
    made = []
    for low, high in ((0.1, 0.3), (0.2, 0.9)):
        shape = (60, 60, 3) if colour else (60, 60)
        image = (full * random.uniform(low, high, shape)).astype(dtype)
        mask = np.ones((60, 60), bool)
        mask[:10] = False
        matched = match_intensity(image, mask)
        assert matched.dtype == dtype and matched.shape == image.shape
        assert not matched[:10].any()
        made.append(np.sort(matched[mask].astype(float), axis=0) / full)
    assert np.abs(made[0] - made[1]).max() < 0.03
    assert made[0].mean() == pytest.approx(0.5, abs=0.01) and made[0].std() == pytest.approx(0.15, abs=0.01)


def test_matching_keeps_the_order_and_flat_areas_flat():
    image = np.repeat(np.arange(40, dtype=np.uint8)[:, None], 40, axis=1)
    image[:10] = 3
    matched = match_intensity(image, np.ones(image.shape, bool)).astype(int)
    assert (np.diff(matched[:, 20]) >= 0).all()
    assert np.ptp(matched[:8]) == 0


def test_grey_in_three_channels_stays_grey():
    grey = np.random.default_rng(0).integers(0, 255, (50, 50, 1), np.uint8).repeat(3, axis=2)
    matched = match_intensity(grey, np.ones((50, 50), bool))
    assert (np.ptp(matched.astype(int), axis=2) == 0).all()


SHAPES = [(1, 1), (1, 30), (3, 3), (140, 60)]


@pytest.mark.parametrize("preset", [None, "fundus", "mri", "ct", "xray"])
@pytest.mark.parametrize("content", ["black", "white", "noise", "pixel", "half"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_nothing_raises_and_shapes_are_right(preset, content, dtype):
    full = np.iinfo(dtype).max
    for shape in SHAPES:
        for channels in ((), (3,)):
            image = np.zeros((*shape, *channels), dtype)
            if content == "white":
                image[:] = full
            elif content == "noise":
                image[:] = np.random.default_rng(0).integers(0, full, image.shape)
            elif content == "pixel":
                image[shape[0] // 2, shape[1] // 2] = full
            elif content == "half":
                image[:, : (shape[1] + 1) // 2] = full // 2
            for names in (ALL, *((name,) for name in ALL)):
                result = Preprocess(32, "letterbox", preset, names)(image)
                assert result.shape == (32, 32, *channels) and result.dtype == dtype
                mask = anatomy_mask(image, preset)
                assert mask.shape == shape and mask.dtype == bool and mask.any()


def test_an_image_without_a_border_keeps_its_middle():
    image = np.random.default_rng(0).integers(100, 200, (90, 120), np.uint8)
    assert anatomy_mask(image, "fundus").mean() > 0.99
    cut, _ = neutralise(image, ("border", "aspect"), "fundus", 64)
    assert cut.shape == (64, 64) and cut.min() > 90


def test_the_same_image_gives_the_same_bytes(phantom):
    preset, images, *_ = phantom
    preprocess = Preprocess(SIDE, "letterbox", preset, ALL)
    before = images[0].copy()
    assert preprocess(images[0]).tobytes() == preprocess(images[0].copy()).tobytes()
    assert (images[0] == before).all()


def test_the_choice_is_part_of_the_settings_and_its_order_is_not():
    one, other = (
        Preprocess(neutralise=("border", "aspect")),
        Preprocess(neutralise=("aspect", "border", "aspect")),
    )
    assert one == other and one.settings()["neutralise"] == ["aspect", "border"]
    assert one.settings() != Preprocess().settings()


def test_an_unknown_name_is_refused_with_the_names_there_are():
    with pytest.raises(OptionError, match=r"'frame'.*border, background, aspect, intensity"):
        Preprocess(neutralise=("frame",))
    with pytest.raises(OptionError, match="frame"):
        neutralise(np.zeros((9, 9), np.uint8), ("frame",))


def test_only_images_have_an_anatomy():
    with pytest.raises(OptionError, match=r"\(h, w\)"):
        anatomy_mask(np.zeros((2, 3, 4, 5), np.uint8))
