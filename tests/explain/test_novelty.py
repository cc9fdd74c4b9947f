"""Which images are like the training set, and how often its own kind is referred."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageFilter

import raresight as rs
from raresight.errors import DataError, ImageError, OptionError
from raresight.explain.novelty import FAR, MARGINS, REASONS, Novelty
from raresight.explain.novelty_fit import fit_novelty, measured
from raresight.explain.quality import measure_image
from raresight.explain.reference import Reference
from raresight.images.preprocess import Preprocess
from raresight.images.store import build_store


@pytest.fixture(scope="module")
def brains():
    source = rs.load("phantom:brain?n=40&anomalies=0.5&seed=3")
    return [source.read(row) for row in range(len(source))]


@pytest.fixture(scope="module")
def novelty(brains):
    return Novelty.fit([measure_image(each) for each in brains])


def blurred(image):
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(12)))


SPOILT = {
    "far smaller": lambda image, rng: image[::8, ::8],
    "far wider": lambda image, rng: np.concatenate([image] * 4, axis=1),
    "coloured": lambda image, rng: np.stack([image, image // 2, image // 4], axis=-1),
    "blank": lambda image, rng: np.full_like(image, 90),
    "noisier": lambda image, rng: rng.integers(0, 256, image.shape, dtype=np.uint8),
    "blurred": lambda image, rng: blurred(image),
    "overexposed": lambda image, rng: np.where(image > 10, 255, image).astype(np.uint8),
    "lighter": lambda image, rng: 255 - image,
    "fewer grey levels": lambda image, rng: ((image > 60) * 255).astype(np.uint8),
}


@pytest.mark.parametrize("reason", SPOILT)
def test_a_spoilt_image_is_told_by_its_reason(novelty, brains, reason):
    rng = np.random.default_rng(0)
    for image in brains[:5]:
        assert any(reason in told for told in novelty.reasons(SPOILT[reason](image, rng)))


def test_new_images_of_the_same_kind_pass(novelty):
    others = rs.load("phantom:brain?n=40&anomalies=0.5&seed=77")
    assert sum(bool(novelty.reasons(others.read(row))) for row in range(40)) <= 2


def test_grey_is_told_where_colour_was_trained():
    fundus = rs.load("phantom:fundus?n=12&anomalies=0.5")
    images = [fundus.read(row) for row in range(12)]
    made = Novelty.fit([measure_image(each) for each in images])
    assert not made.reasons(images[0])
    grey = np.asarray(Image.fromarray(images[0]).convert("L"))
    assert REASONS["colour"][0] in made.reasons(grey)


def test_measures_do_not_depend_on_depth_or_size():
    rng = np.random.default_rng(0)
    image = np.kron(rng.integers(40, 200, (56, 56)), np.ones((4, 4))).astype(np.uint8)
    first, deep = measure_image(image), measure_image(image.astype(np.uint16) * 257)
    double = measure_image(np.kron(image, np.ones((2, 2), np.uint8)))
    for name in ("brightness", "colour", "contrast", "sharpness", "white", "levels"):
        assert first[name] == pytest.approx(deep[name]) == pytest.approx(double[name])
    assert double["side"] == first["side"] + 1 and first["shape"] == 0


@pytest.mark.parametrize("shape", [(0, 5), (5,), (5, 5, 3, 1)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(ImageError, match="cannot measure"):
        measure_image(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (3, 2, 3)])
def test_the_smallest_images_can_be_measured(shape):
    assert all(np.isfinite(list(measure_image(np.zeros(shape, np.uint8)).values())))


@pytest.mark.parametrize("count", [30, 400])
def test_the_reference_is_a_gaussians_distance(count):
    """With as many axes as matter, it is the Mahalanobis distance of the covariance that made the rows."""
    rng = np.random.default_rng(1)
    scale = np.r_[10.0, 5.0, np.full(38, 1.0)]
    made = Reference.fit(rng.normal(size=(count, 40)) * scale)
    new = rng.normal(size=(4000, 40)) * scale
    expected = np.sqrt(((new / scale) ** 2).mean(axis=1))
    assert np.corrcoef(made.distance(new), expected)[0, 1] > (0.97 if count == 400 else 0.8)
    if count == 400:
        assert made.distance(new).mean() == pytest.approx(expected.mean(), rel=0.05)
    assert (made.axes.T @ made.axes) == pytest.approx(np.eye(made.axes.shape[1]), abs=1e-5)


def test_copies_of_one_image_do_not_divide_by_nothing():
    made = Reference.fit(np.ones((10, 8)))
    assert np.isfinite(made.distance(np.ones((1, 8)))).all() and made.distance(np.zeros((1, 8)))[0] > 1e3


def test_patients_of_the_same_kind_are_referred_at_the_rate():
    """Several images a patient, few patients: the share of new patients referred is the rate's, or less."""
    rng = np.random.default_rng(2)

    def draw(patients):
        group = np.repeat(np.arange(patients), 3)
        return rng.normal(size=(patients, 12))[group] + 0.3 * rng.normal(size=(len(group), 12)), group

    flat, referred = dict.fromkeys(MARGINS, 0.0), []
    for seed in range(60):
        embeddings, group = draw(60)
        made = Novelty.fit([flat] * len(group), embeddings, group, rate=0.1, seed=seed)
        new, owner = draw(60)
        far = made.distance(new) > made.cut
        referred.append(np.mean([far[owner == p].any() for p in range(60)]))
    error = np.std(referred) / 60**0.5
    assert 0.02 < np.mean(referred) < 6 / 61 + 3 * error


def test_too_few_patients_are_refused():
    flat, embeddings = [dict.fromkeys(MARGINS, 0.0)] * 30, np.random.default_rng(0).normal(size=(30, 6))
    with pytest.raises(OptionError, match="needs 49 patients and there are 30"):
        Novelty.fit(flat, embeddings, rate=0.02)
    with pytest.raises(OptionError, match="out of range"):
        Novelty.fit(flat, embeddings, rate=0)
    with pytest.raises(DataError, match="no image"):
        Novelty.fit([])
    with pytest.raises(DataError, match="too few"):
        Reference.fit(embeddings[:3])


def test_json_and_back():
    rng = np.random.default_rng(4)
    image, flat = rng.integers(0, 255, (40, 40), np.uint8), []
    flat = [measure_image(image)] * 60
    made = Novelty.fit(flat, rng.normal(size=(60, 8)), rate=0.05)
    again = Novelty.from_dict(json.loads(json.dumps(made.to_dict(), allow_nan=False)))
    new = rng.normal(size=(50, 8)) * 2
    assert (again.distance(new) == made.distance(new)).all() and again.cut == made.cut
    assert again.ranges == made.ranges
    assert again.reasons(image, np.full(8, 50.0)) == [FAR] and not again.reasons(image, np.zeros(8))
    without = Novelty.from_dict(json.loads(json.dumps(Novelty.fit(flat).to_dict(), allow_nan=False)))
    assert without.reference is None and not without.reasons(image, np.full(8, 50.0))


def damaged(facts, path, value):
    facts = json.loads(json.dumps(facts))
    place = facts
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return facts


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("ranges",), {}),
        (("reference", "axes"), "AAAA"),
        (("reference", "mean"), "no base64!"),
        (("reference", "rest"), 0.0),
        (("reference", "features"), 7),
        (("cut",), None),
    ],
)
def test_damaged_records_are_refused(path, value):
    flat = [dict.fromkeys(MARGINS, 0.0)] * 60
    made = Novelty.fit(flat, np.random.default_rng(0).normal(size=(60, 8)), rate=0.05).to_dict()
    with pytest.raises(DataError, match="make it anew"):
        Novelty.from_dict(damaged(made, path, value))


def test_deciding_needs_numpy_only():
    code = (
        "import sys; import raresight.explain.novelty; "
        "print([m for m in ('scipy', 'torch', 'pandas', 'sklearn', 'onnxruntime') if m in sys.modules])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


class Averages:
    """A stand-in for a backbone: mean grey of 4 × 4 tiles."""

    def whole(self, store, progress=None):
        tiles = store.pixels.reshape(len(store), 4, 8, 4, 8, -1).mean(axis=(2, 4, 5))
        return tiles.reshape(len(store), 16)


def test_a_store_is_learned_from_its_own_rows(small_set):
    manifest = rs.load(small_set, normal=["normal"])
    store = build_store(manifest, Preprocess(size=32), threads=1)
    rows = np.arange(40)
    made = fit_novelty(store, store.manifest.groups(), rows, embedding=Averages())
    assert made.rate == pytest.approx(1 / 41)  # 40 patients allow no less
    assert measured(store).shape == (len(store), len(MARGINS))
    image = manifest.read(0)
    assert not made.reasons(image, Averages().whole(store)[0])
    assert made.reasons(255 - image[::4, ::4], np.zeros(16))
