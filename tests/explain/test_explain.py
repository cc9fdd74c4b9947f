from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fitted_lab import Lab

from raresight.errors import OptionError
from raresight.explain import METHODS
from raresight.explain.base import Explainer, default_method, explain_images, suitable_methods
from raresight.explain.measures import null_maps, pointing_hits
from raresight.explain.occlusion import PixelOcclusion
from raresight.explain.paths import paths
from raresight.images.augment import AUGMENTATIONS, move, view_maps

DEFAULT = {
    "logistic": "integrated-maps",
    "rf": "map-occlusion",
    "knn": "gradient-maps",
    "svm-pixels": "occlusion",
    "cnn": "integrated-maps",
    "ae": "residual",
    "padim": "patch-distance",
    "transfer": "integrated-maps",
}


@pytest.mark.parametrize("name", DEFAULT)
def test_each_recipe_has_the_default_that_suits_it(lab: Lab, name: str):
    fitted = lab.fitted(name)
    assert default_method(fitted) == DEFAULT[name]
    assert DEFAULT[name] in suitable_methods(fitted)


@pytest.mark.parametrize("name", [name for name in DEFAULT if name != "svm-pixels"])
def test_a_default_map_is_as_large_as_the_image_and_of_its_row_alone(lab: Lab, name: str):
    found = explain_images(lab.fitted(name), lab.store, lab.test[:3])
    assert found.heatmaps.shape == (3, 224, 224) and found.heatmaps.dtype == np.float32
    assert found.method == DEFAULT[name] and found.grid > 3 and found.seconds > 0
    assert np.isfinite(found.heatmaps).all() and np.ptp(found.heatmaps, axis=(1, 2)).min() > 0
    alone = explain_images(lab.fitted(name), lab.store, lab.test[2:3])
    assert np.allclose(alone.heatmaps[0], found.heatmaps[2], atol=1e-3 * np.abs(found.heatmaps).max())


@pytest.mark.parametrize("name", ["logistic", "padim"])
def test_a_map_points_at_large_lesions_better_than_any_map_that_knows_nothing(lab: Lab, name: str):
    masks, pixels = np.asarray(lab.store.masks[lab.ill[:7]]), lab.store.pixels[lab.ill[:7]]
    hits = pointing_hits(explain_images(lab.fitted(name), lab.store, lab.ill[:7]).heatmaps, masks)
    # Lesions of a quarter of the side lie near the centre: that map is no measure here.
    by_chance = pointing_hits(null_maps(pixels)["in the anatomy"], masks)
    assert hits.mean() > by_chance.mean() + 0.2


@pytest.mark.parametrize("name", ["logistic", "cnn"])
def test_integrated_maps_sum_to_the_difference_from_the_usual_score(lab: Lab, name: str):
    fitted, rows = lab.fitted(name), lab.test[:2]
    method = Explainer(fitted, lab.store, "integrated-maps[steps=20]").method
    for part in method.parts:
        total = method._attributed(part, lab.store, rows).sum(dim=(1, 2, 3))
        with torch.no_grad():
            apart = part.after(part.maps(lab.store, rows)) - part.after(part.usual)
        assert torch.allclose(total, apart[:, 0], rtol=0.1, atol=0.1)


@pytest.mark.parametrize("name", ["logistic", "cnn", "transfer"])
def test_the_mean_over_paths_is_the_recipes_score(lab: Lab, name: str):
    fitted, rows = lab.fitted(name), lab.test[:3]
    for from_pixels in (False, True):
        ways = paths(fitted, from_pixels=from_pixels)
        with torch.no_grad():
            score = torch.stack([way.chain(way.read(lab.store, rows))[:, 0] for way in ways]).mean(dim=0)
        # Stored maps are float16.
        assert np.allclose(
            score.numpy(), fitted.score(lab.store, rows), atol=0.02 if name == "transfer" else 1e-3
        )


def test_maps_of_a_mirrored_view_are_turned_back(lab: Lab):
    ways = paths(lab.fitted("transfer"))
    assert len(ways) == 2
    heat = torch.rand(2, 1, 8, 8)
    theta = view_maps(AUGMENTATIONS["default"], 2)[1].expand(2, -1, -1)
    assert torch.allclose(ways[1].back(move(heat, theta)), heat, atol=1e-5)
    assert not torch.allclose(ways[0].back(move(heat, theta)), heat, atol=1e-2)


@pytest.mark.parametrize(
    "method", ["grad-cam", "grad-cam++", "grad-cam[places=14]", "integrated-gradients[steps=2]"]
)
def test_every_gradient_method_explains_a_network(lab: Lab, method: str):
    found = explain_images(lab.fitted("cnn"), lab.store, lab.ill[:2], method)
    assert found.heatmaps.shape == (2, 224, 224) and found.method == method
    assert (found.grid == 14) == ("14" in method) and np.isfinite(found.heatmaps).all()


def test_occlusion_finds_the_one_square_that_a_score_looks_at():
    def score(images: np.ndarray) -> np.ndarray:
        return images[:, 16:24, 40:48].reshape(len(images), -1).std(axis=1)

    fitted = SimpleNamespace(
        space=SimpleNamespace(of=lambda images: images),
        scaler=None,
        predict_seen=lambda X: (score(X.astype(np.float64)), None),
    )
    pixels = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3), np.uint8)
    store = SimpleNamespace(pixels=pixels, preprocess=SimpleNamespace(size=64))
    method = PixelOcclusion(window=28).prepare(fitted, store)
    for heat in method.heatmaps(store, np.arange(2)):
        y, x = np.unravel_index(heat.argmax(), heat.shape)
        assert 14 <= y < 26 and 38 <= x < 50 and heat[40:, :30].max() < 0.1 * heat.max()


def test_every_registered_method_says_what_it_is_and_whence(lab: Lab):
    for name in METHODS:
        entry = METHODS[name]
        assert entry.summary and entry.source and "Source:" in entry.load().__doc__


@pytest.mark.parametrize(
    ("name", "method", "words"),
    [
        ("logistic", "gradcam", "unknown explanation 'gradcam'; did you mean 'grad-cam'"),
        ("rf", "grad-cam", "grad-cam cannot explain rf.*map-occlusion"),
        ("logistic", "residual", "residual cannot explain"),
        ("logistic", "integrated-maps[steps=0]", "at least 1"),
        ("logistic", "occlusion[window=0]", "out of range"),
        ("rf", "map-occlusion[window=2,stride=3]", "out of range"),
        ("padim", "patch-distance[blur=-1]", "0 or more"),
    ],
)
def test_a_method_that_cannot_be_used_says_so(lab: Lab, name: str, method: str, words: str):
    with pytest.raises(OptionError, match=words):
        explain_images(lab.fitted(name), lab.store, lab.test[:1], method)


def test_several_classes_are_refused(lab: Lab):
    graded = replace(lab.fitted("logistic"), shifts=np.zeros(3))
    with pytest.raises(OptionError, match="normal against anomalous"):
        explain_images(graded, lab.store, lab.test[:1])
