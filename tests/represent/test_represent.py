from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import raresight as rs
from raresight.errors import OptionError
from raresight.images.preprocess import Preprocess
from raresight.images.store import ImageStore, build_store
from raresight.networks.lite0 import Lite0
from raresight.represent.backbones import OnnxBackbone, lite0_onnx
from raresight.represent.embedding import Embedding
from raresight.represent.maps import Maps
from raresight.represent.pca import PrincipalComponents
from raresight.represent.pixels import Pixels, reduce_pixels


@pytest.fixture(scope="module")
def store(small_set: Path) -> ImageStore:
    return build_store(rs.load(small_set))


def test_onnx_embedding_equals_pytorch():
    import torch

    pixels = np.random.default_rng(0).integers(0, 255, (3, 224, 224, 3), np.uint8)
    with torch.no_grad():
        expected = Lite0()(torch.from_numpy(pixels.astype(np.float32))).numpy()
    assert np.abs(OnnxBackbone(lite0_onnx())(pixels) - expected).max() <= 1e-4


def test_grey_and_16_bit_pixels_give_the_same_embedding():
    network = OnnxBackbone(lite0_onnx())
    grey = np.random.default_rng(0).integers(0, 255, (2, 224, 224, 1), np.uint8)
    colour = network(np.repeat(grey, 3, axis=3))
    assert np.abs(network(grey) - colour).max() <= 1e-5
    assert np.abs(network(grey.astype(np.uint16) * 257) - colour).max() <= 1e-4


def test_the_embedding_does_not_depend_on_the_number_of_workers():
    network = OnnxBackbone(lite0_onnx())
    pixels = np.random.default_rng(0).integers(0, 255, (70, 224, 224, 1), np.uint8)
    assert (network.embed(pixels, 1) == network.embed(pixels, 3)).all()


def test_embedding_is_kept_beside_the_store(store: ImageStore):
    first = Embedding().whole(store)
    assert (
        first.shape == (64, 1280) and (Embedding().transform(store, np.array([5, 2])) == first[[5, 2]]).all()
    )
    assert list(store.folder.glob("embedding-lite0-*.npy"))


def test_reduced_pixels_are_means_of_squares(store: ImageStore):
    small = Pixels(112).transform(store, np.arange(64))
    assert small.shape == (64, 112, 112, 1) and small.dtype == np.uint8
    expected = store.pixels[7].astype(float).reshape(112, 2, 112, 2).mean(axis=(1, 3))
    assert np.abs(small[7, ..., 0] - expected).max() <= 0.5
    assert (Pixels(224).transform(store, np.array([3])) == store.pixels[3]).all()


def coloured_store(tmp_path: Path, coloured: int) -> ImageStore:
    random = np.random.default_rng(0)
    for i in range(30):
        image = np.repeat(random.integers(0, 200, (32, 32, 1), np.uint8), 3, axis=2)
        if i < coloured:
            image[..., 0] += 50
        (tmp_path / ["no", "yes"][i % 2]).mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / ["no", "yes"][i % 2] / f"{i}.png")
    return build_store(rs.load(tmp_path), Preprocess(32))


def test_a_few_coloured_images_are_seen_in_grey_and_many_in_colour(tmp_path: Path):
    (tmp_path / "few").mkdir()
    few = coloured_store(tmp_path / "few", 2)
    assert few.pixels.shape[3] == 3
    seen = Pixels(16).fit(few, np.arange(30)).transform(few, np.arange(30))
    assert seen.shape == (30, 16, 16, 1)
    expected = few.pixels[29].astype(float).mean(axis=2).reshape(16, 2, 16, 2).mean(axis=(1, 3))
    assert np.abs(seen[29, ..., 0] - expected).max() <= 1
    assert Pixels(16, "keep").fit(few, np.arange(30)).transform(few, np.arange(3)).shape[3] == 3
    (tmp_path / "many").mkdir()
    many = coloured_store(tmp_path / "many", 10)
    assert Pixels(16).fit(many, np.arange(30)).transform(many, np.arange(30)).shape[3] == 3


def test_reduction_keeps_16_bit():
    pixels = np.full((2, 8, 8, 1), 50_000, np.uint16)
    assert (reduce_pixels(pixels, 4) == 50_000).all()


def test_a_size_that_does_not_divide_is_refused(store: ImageStore):
    with pytest.raises(OptionError, match="does not divide"):
        Pixels(100).transform(store, np.arange(3))


def test_unknown_backbone_is_refused():
    with pytest.raises(OptionError, match="lite0"):
        Embedding("resnet")


def test_components_are_learned_from_the_rows_given_and_no_other(store: ImageStore):
    rows = np.arange(40)
    before = PrincipalComponents(5).fit(store, rows).transform(store, rows)
    assert before.shape == (40, 5) and before.dtype == np.float32
    assert np.allclose(before.mean(axis=0), 0, atol=1e-3)
    other = PrincipalComponents(5).fit(store, np.arange(16, 64)).transform(store, rows)
    assert not np.allclose(before, other, atol=1e-2)


def test_lite0_needs_its_own_size(small_set: Path):
    with pytest.raises(OptionError, match="lite0 sees 224"):
        Embedding().whole(build_store(rs.load(small_set), Preprocess(64)))


@pytest.mark.parametrize(("grid", "blocks"), [(14, "4+10"), (28, "2+4+10")])
def test_maps_are_the_networks_own_each_place_averaged_with_its_neighbours(grid: int, blocks: str):
    import torch

    pixels = np.random.default_rng(0).integers(0, 255, (2, 224, 224, 3), np.uint8)
    network = Lite0()
    numbers = [int(each) for each in blocks.split("+")]
    with torch.no_grad():
        planes = network.planes(torch.from_numpy(pixels.astype(np.float32)))
        own = [each.numpy() for each in network.maps(planes, numbers)]
    found = Maps(grid, blocks).of(pixels)
    assert found.shape == (2, grid, grid, sum(each.shape[1] for each in own)) and found.dtype == np.float16
    fitting, start = next(
        (each, sum(before.shape[1] for before in own[:number]))
        for number, each in enumerate(own)
        if each.shape[2] == grid
    )
    expected = fitting[:, :, 4:7, 6:9].mean(axis=(2, 3))
    np.testing.assert_allclose(
        found[:, 5, 7, start : start + fitting.shape[1]], expected, atol=1e-2, rtol=1e-2
    )


def test_maps_are_kept_beside_the_store(store: ImageStore):
    first = Maps().whole(store)
    assert first.shape == (64, 14, 14, 152) and first.dtype == np.float16
    assert (Maps().fit(store, np.arange(3)).transform(store, np.array([5, 2])) == first[[5, 2]]).all()
    np.testing.assert_allclose(Maps().of(np.array(store.pixels[:2])), first[:2], atol=1e-2)


@pytest.mark.parametrize(
    "options", [{"grid": 7}, {"blocks": "4+16"}, {"blocks": "a"}, {"grid": 28, "blocks": 15}]
)
def test_maps_that_are_not_there_are_refused(options):
    with pytest.raises(OptionError, match="maps"):
        Maps(**options)
