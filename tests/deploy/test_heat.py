"""Heatmaps of a bundle: the detector's own, or what the score loses without a cell; and their pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import maximum_filter

import raresight as rs
from raresight.cli.app import app
from raresight.cli.console import guarded
from raresight.deploy.heat import overlay
from raresight.deploy.heat_graph import SHARES, heat_graph, run_heat
from raresight.experiment.recipe import Recipe
from raresight.images.load import load
from raresight.images.masks import reduced_masks
from raresight.images.store import build_store
from raresight.networks.lite0 import LITE0_BLOCKS, Lite0
from raresight.represent.backbones import full_scale
from raresight.spec import parse_spec


@pytest.fixture(scope="module")
def store():
    return build_store(load("phantom:brain?n=24&anomalies=0.4&difficulty=0&seed=0"))


def fit(store, model, space):
    recipe = Recipe(parse_spec(model), parse_spec(space), parse_spec("none"), "cpu")
    return recipe.fit(store, np.arange(24), 0)


@torch.no_grad()
def last_maps(store, rows):
    lite0 = Lite0()
    network = lite0.network
    values = full_scale(np.repeat(np.asarray(store.pixels[rows]), 3, axis=3))
    maps = lite0.trunk(lite0.planes(torch.from_numpy(values)), LITE0_BLOCKS)
    return network._swish(network._bn1(network._conv_head(maps))).flatten(2).numpy()


@pytest.mark.parametrize("model", ["rf[n_estimators=30]", "svm"])
def test_any_head_on_the_embedding_is_asked_what_each_cell_adds(store, model):
    fitted = fit(store, model, "embedding")
    made = heat_graph(fitted, store)
    y = store.manifest.y
    row = int(np.flatnonzero(y == 1)[0])
    (found,) = run_heat(made.content, np.asarray(store.pixels[row : row + 1]))
    normal = last_maps(store, np.flatnonzero(y == 0)).mean(axis=0)
    own = (last_maps(store, np.array([row]))[0] - normal) / 49
    expected = np.zeros(49)
    for share in SHARES:
        without = normal.mean(axis=1) + share * (own.sum(axis=1) - own.T)
        rows = np.vstack([without, without + own.T])
        scores = fitted.detector.decision_function(
            rows if fitted.scaler is None else fitted.scaler.transform(rows)
        )
        expected += (scores[49:] - scores[:49]) / len(SHARES)
    assert np.abs(found.ravel() - expected).max() < (0.05 if model[0] == "r" else 1e-3)  # a vote of thirty
    assert np.corrcoef(found.ravel(), expected)[0, 1] > 0.95


def test_the_heat_is_on_the_lesion():
    store = build_store(load("phantom:brain?n=60&anomalies=0.5&difficulty=0&seed=3"))
    recipe = Recipe(parse_spec("svm"), parse_spec("embedding"), parse_spec("none"), "cpu")
    fitted = recipe.fit(store, np.arange(40), 0)
    new = np.arange(40, 60)[store.manifest.y[40:] == 1]
    heats = run_heat(heat_graph(fitted, store).content, np.asarray(store.pixels[new]))
    cells = reduced_masks(store, 224)[new].reshape(len(new), 7, 32, 7, 32).any(axis=(2, 4))
    beside = np.stack([maximum_filter(one, 3) for one in cells])  # a cell sees far beyond its own pixels
    hottest = heats.reshape(len(new), -1).argmax(axis=1)
    assert beside.reshape(len(new), -1)[np.arange(len(new)), hottest].mean() > beside.mean() + 0.25


def test_pixels_and_components_have_no_map(store):
    assert heat_graph(fit(store, "logistic", "pca[components=4]"), store) is None


def test_a_detectors_own_map_is_written_beside_the_predictions(tmp_path, capsys):
    images = rs.load("phantom:brain?n=24&anomalies=0.4&difficulty=0&seed=0")
    made = rs.train(images, "padim[features=8]", representation="maps[blocks=10]", inner_folds=2)
    made.save(tmp_path / "b")
    (tmp_path / "other").mkdir()
    for name in ("a.png", "other/a.png"):
        Image.fromarray(images.read(0)).save(tmp_path / name)
    (tmp_path / "broken.png").write_bytes(b"x")
    files = [str(tmp_path / name) for name in ("a.png", "broken.png", "other/a.png")]
    assert guarded(app, ["predict", str(tmp_path / "b"), *files, "--heatmaps", str(tmp_path / "heat")]) == 1
    assert sorted(path.name for path in (tmp_path / "heat").iterdir()) == ["a-2.png", "a.png"]
    assert np.asarray(Image.open(tmp_path / "heat" / "a.png")).shape == (224, 224, 3)
    fitted = made.refit.fitted
    rows = np.arange(3)
    expected = fitted.detector.heatmap(fitted.seen(made.refit.store, rows))
    found = rs.Predictor(tmp_path / "b").predict([images.read(row) for row in rows], heat=True)
    np.testing.assert_allclose(np.stack([one.heat for one in found]), expected, rtol=1e-3, atol=1e-3)
    plain = rs.Predictor(tmp_path / "b").predict(files[0])[0]
    warm = rs.Predictor(tmp_path / "b").predict(files[0], heat=True)[0]
    assert plain.heat is None
    assert warm.heat.shape == (14, 14)
    assert warm.score == plain.score
    (tmp_path / "file").write_text("")
    taken = ["predict", str(tmp_path / "b"), files[0], "--heatmaps", str(tmp_path / "file")]
    assert guarded(app, taken) == 2
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_an_overlay_is_hot_where_the_heat_is_and_plain_elsewhere(dtype):
    pixels = np.full((40, 40, 1), 0.5 * np.iinfo(dtype).max, dtype)
    heat = np.zeros((8, 8), np.float32)
    heat[2, 5] = 1
    shown = overlay(pixels, heat, 0, 1)
    assert (shown[30:, :10] == 127).all()
    red, green, blue = shown[12, 27].astype(int)
    assert red > green + 40
    assert red > blue + 40
    assert (overlay(pixels, heat, 1, 2)[12, 27] == 127).all()
