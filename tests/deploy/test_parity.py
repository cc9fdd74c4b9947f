"""The same image gets the same score from compare's own model and from a bundle's graph."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from scipy.special import expit

import raresight as rs
from raresight.deploy.graph import run_graphs, scoring_graphs
from raresight.deploy.predictor import Predictor
from raresight.deploy.reference import feature_blocks
from raresight.experiment.recipe import Recipe
from raresight.images.load import load
from raresight.images.store import build_store
from raresight.represent import REPRESENTATIONS
from raresight.represent.graphs import joined
from raresight.spec import parse_spec

TRAIN, HELD = np.arange(24), np.arange(24, 36)

RECIPES = [
    "rf[n_estimators=20]@embedding",
    "knn@pca[components=6]",
    "padim[features=4]@maps[blocks=10]",
    "cnn[pixels=56,width=8,members=1,epochs=1]@pixels[size=56]",
    "transfer[stages=1,epochs=1]@trunk[stages=1,views=3]",
]
"""One for each representation; every detector's own graph is tested in tests/detect/test_contract.py."""


@pytest.fixture(scope="module")
def brain():
    return build_store(load("phantom:brain?n=36&anomalies=0.4&difficulty=0&seed=0"))


@pytest.fixture(scope="module")
def fundus():
    return build_store(load("phantom:fundus?n=6&anomalies=0.5&seed=0"))


def fit(name: str, store):
    model, _, space = name.partition("@")
    recipe = Recipe(parse_spec(model), parse_spec(space), parse_spec("none"), "cpu")
    return recipe.fit(store, TRAIN, 0, validation=HELD if recipe.network else None)


@pytest.mark.parametrize("name", RECIPES)
def test_one_graph_from_pixels_gives_the_recipes_scores(name, brain):
    fitted = fit(name, brain)
    (graph,) = scoring_graphs(fitted, brain)
    content = graph.SerializeToString()
    expected = fitted.score(brain, HELD)
    found = run_graphs([content], np.asarray(brain.pixels[HELD]))
    np.testing.assert_allclose(found + fitted.shift, expected, rtol=1e-5, atol=1e-4)
    alone = run_graphs([content], np.asarray(brain.pixels[HELD[:1]]))
    np.testing.assert_allclose(alone + fitted.shift, expected[:1], rtol=1e-5, atol=1e-4)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    outputs = session.run(None, {"pixels": np.asarray(brain.pixels[HELD])})
    described = list(feature_blocks(fitted, brain, HELD))
    assert len(outputs) == 1 + bool(described)
    for part in described:
        np.testing.assert_allclose(outputs[1], part, rtol=1e-3, atol=2e-2)


@pytest.mark.parametrize(
    "space",
    ["pixels[size=56]", "pixels[size=112,colour=grey]", "pca[components=4,size=28]", "maps[blocks=2+4]"],
)
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_a_colour_store_of_either_depth_goes_through_the_same_steps(space, depth, fundus):
    rows = np.arange(len(fundus))
    made = parse_spec(space).make(REPRESENTATIONS).fit(fundus, rows)
    pixels = np.array(fundus.pixels).astype(depth) * depth(257 if depth == np.uint16 else 1)
    graph = joined(made.graph(pixels.shape[1:], pixels.dtype)).SerializeToString()
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"pixels": pixels})
    expected = made.of(pixels)
    assert found.dtype == expected.dtype
    if expected.dtype.kind in "ui":
        assert np.array_equal(found, expected)  # a grey level more or less would move a score
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_graphs_that_cannot_be_joined_run_one_after_another(brain, monkeypatch):
    fitted = fit("rf[n_estimators=5]@pca[components=4]", brain)
    monkeypatch.setattr("raresight.represent.graphs.compose.merge_models", _refuses)
    graphs = [graph.SerializeToString() for graph in scoring_graphs(fitted, brain)]
    assert len(graphs) > 1
    found = run_graphs(graphs, np.asarray(brain.pixels[HELD]))
    np.testing.assert_allclose(found, fitted.score(brain, HELD), atol=1e-4)


def _refuses(*_, **__):
    raise ValueError("another opset")


def test_an_older_graph_is_brought_to_the_others_version(brain, tmp_path):
    path = tmp_path / "mean.onnx"
    text = """<ir_version: 8, opset_import: ["" : 13]>
    mean (float[n,s,s,3] x) => (float[n,3] y) { y = ReduceMean<axes=[1,2], keepdims=0>(x) }"""
    onnx.save(onnx.parser.parse_model(text), path)
    space = parse_spec("embedding").make(REPRESENTATIONS)
    space.backbone = f"onnx:{path}"
    graph = joined(space.graph(brain.pixels.shape[1:], brain.pixels.dtype)).SerializeToString()
    (found,) = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"]).run(
        None, {"pixels": np.asarray(brain.pixels[:3])}
    )
    np.testing.assert_allclose(found, space.of(np.asarray(brain.pixels[:3])), rtol=1e-5)


def test_a_file_gets_the_score_and_probability_of_compares_own_model(made, bundle, pictures):
    predictor = Predictor(bundle)
    found = predictor.predict(sorted(pictures.glob("*.png")))
    rows = np.arange(len(found))
    fitted, chances = made.refit.fitted, made.refit.chances
    score, raw = fitted.predict(made.refit.store, rows)
    np.testing.assert_allclose([one.score for one in found], score, atol=1e-4)
    np.testing.assert_allclose([one.probability for one in found], chances.of(score, raw), atol=1e-4)
    cut = made.refit.thresholds["default"]
    assert [one.decision for one in found] == ["anomalous" if s >= cut else "normal" for s in score]


@pytest.mark.parametrize("calibration", ["beta", "platt", "isotonic", "venn-abers", "none"])
def test_calibration_in_plain_numbers_is_the_calibrators_own(made, calibration):
    from dataclasses import replace

    from raresight.deploy.bundle import Bundle
    from raresight.deploy.probability import probabilities
    from raresight.experiment.chances import Chances

    inner, fitted = made.refit.inner, made.refit.fitted
    chances = Chances.learn(fitted, inner, calibration, 0.1)
    numbers = Bundle(replace(made.refit, chances=chances), None)._calibration()
    ends = [-1e3, -30.0, 30.0, 1e3]
    score = np.concatenate([inner.score, np.linspace(inner.score.min(), inner.score.max(), 100), ends])
    np.testing.assert_allclose(probabilities(score, numbers), chances.of(score, expit(score)), atol=1e-12)


def test_another_depth_or_frame_of_the_same_image_gets_nearly_the_same_score(bundle, images):
    predictor = Predictor(bundle)
    image = images.read(0)
    plain, deep, three = predictor.predict(
        [image, image.astype(np.uint16) * np.uint16(257), np.repeat(image[..., None], 3, axis=2)]
    )
    assert deep.score == pytest.approx(plain.score, abs=0.02)
    assert three.score == plain.score


def test_the_batch_does_not_matter(bundle, images):
    predictor = Predictor(bundle)
    several = [images.read(row) for row in range(7)]
    together = [one.score for one in predictor.stream(several, batch=7)]
    apart = [one.score for one in predictor.stream(several, batch=2)]
    np.testing.assert_allclose(together, apart, atol=1e-5)
    assert rs.Predictor is Predictor
