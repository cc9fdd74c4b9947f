"""The nearest training cases, from a bundle's own files."""

from __future__ import annotations

import json

import numpy as np
import pytest

import raresight as rs
from raresight.deploy.nearest import Axes, Nearest


@pytest.fixture(scope="module")
def with_pictures(made, tmp_path_factory):
    return made.save(tmp_path_factory.mktemp("pictured") / "bundle", include_examples=True)


def test_every_training_image_is_nearest_to_itself(images, with_pictures):
    predictor = rs.Predictor(with_pictures)
    nearest = Nearest(predictor.files)
    assert len(nearest) == len(images)
    pixels = np.stack([predictor.prepare(images.read(row)) for row in range(12)])
    _, features = predictor.scores(pixels)
    for row in range(12):
        found = nearest.find(features[row])
        assert [case.distance for case in found] == sorted(case.distance for case in found)
        assert found[0].distance < 0.02 and found[0].label == images.labels[row]
        assert found[0].picture is not None and found[0].picture.startswith(b"\x89PNG")
        picture = np.asarray(rs.Predictor(with_pictures).prepare(found[0].picture))
        assert picture.shape == pixels[row].shape


def test_two_training_images_are_1_apart_in_the_mean(bundle):
    places = np.array([case["at"] for case in json.loads((bundle / "cases.json").read_text())])
    n, k = places.shape
    squares = ((places[:, None] - places[None]) ** 2).sum(axis=2) / (2 * k)
    assert squares[~np.eye(n, dtype=bool)].mean() == pytest.approx(1, abs=0.01)


def test_neither_pictures_nor_features_leave_unasked(bundle):
    assert not (bundle / "examples.json").exists()
    cases = json.loads((bundle / "cases.json").read_text())
    reference = json.loads((bundle / "reference.json").read_text())["features"]
    assert {len(case["at"]) for case in cases} == {len(reference["variances"])}
    assert set(cases[0]) == {"id", "label", "at"}
    assert all(case.picture is None for case in Nearest(rs.Predictor(bundle).files).find(np.zeros(8)))


def test_whitened_coordinates_have_unit_variance():
    random = np.random.default_rng(0)
    features = random.normal(0, [5, 2, 0.5], (400, 3)) + 7
    mean = features.mean(axis=0)
    _, size, axes = np.linalg.svd(features - mean, full_matrices=False)
    places = Axes({"mean": mean, "axes": axes, "variances": size**2 / 399}).place(features)
    np.testing.assert_allclose(np.cov(places.T), np.eye(3), atol=1e-9)


def test_an_older_bundle_has_no_cases(bundle):
    files = {k: v for k, v in rs.Predictor(bundle).files.items() if k != "cases.json"}
    nearest = Nearest(files)
    assert len(nearest) == 0 and nearest.find(np.zeros(8)) == []
    assert Nearest(rs.Predictor(bundle).files).find(None) == []
