"""The frozen trunk's maps, in views."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import raresight as rs
from raresight.errors import OptionError
from raresight.images.augment import AUGMENTATIONS, fixed_views, mirror_views
from raresight.images.preprocess import Preprocess
from raresight.images.store import ImageStore, build_store
from raresight.networks.lite0 import Lite0, Lite0Tail
from raresight.represent.trunk import FIRST_BLOCK, Trunk


@pytest.fixture(scope="module")
def store(small_set: Path) -> ImageStore:
    return build_store(rs.load(small_set))


@pytest.mark.parametrize("stages", FIRST_BLOCK)
def test_trunk_and_tail_are_the_whole_network(store, stages):
    maps = Trunk(stages, views=1).fit(store, np.arange(2)).of(store.pixels[:2])
    tail = Lite0Tail(FIRST_BLOCK[stages]).eval()
    pixels = np.repeat(store.pixels[:2], 3 // store.pixels.shape[3], axis=3).astype(np.float32)
    with torch.no_grad():
        found = tail(torch.from_numpy(maps[:, 0]).float().permute(0, 3, 1, 2))
        expected = Lite0()(torch.from_numpy(pixels))
    # float16 keeps three digits.
    assert (found - expected).abs().max() < 0.02 * expected.abs().max()


def test_maps_are_kept_and_do_not_depend_on_the_batch(store):
    trunk = Trunk(1, views=3)
    whole = trunk.whole(store)
    assert whole.shape == (64, 3, 7, 7, 192)
    assert whole.dtype == np.float16
    assert (trunk.transform(store, np.array([5, 2])) == whole[[5, 2]]).all()
    np.testing.assert_allclose(trunk.of(store.pixels[3:5]), whole[3:5], rtol=2e-2, atol=2e-2)
    assert not np.allclose(whole[:, 0], whole[:, 1], atol=0.05)


def test_views_are_the_image_its_mirror_images_and_then_moved_ones():
    image = torch.rand(2, 1, 8, 8)
    views = list(fixed_views(image, AUGMENTATIONS["mri"], 4))
    assert mirror_views(AUGMENTATIONS["mri"]) == 2
    assert (views[0] == image).all()
    torch.testing.assert_close(views[1], image.flip(-1))
    assert not torch.allclose(views[2], image, atol=0.01)
    again = list(fixed_views(image[1:], AUGMENTATIONS["mri"], 4))
    torch.testing.assert_close(again[3], views[3][1:])
    assert mirror_views(AUGMENTATIONS["xray"]) == 1


def test_a_fundus_is_seen_in_all_eight_symmetries_of_a_square():
    image = torch.arange(16.0).view(1, 1, 4, 4)
    count = mirror_views(AUGMENTATIONS["fundus"])
    found = {tuple(v.round().flatten().tolist()) for v in fixed_views(image, AUGMENTATIONS["fundus"], count)}
    turns = [torch.rot90(image, k, (-2, -1)) for k in range(4)]
    expected = {tuple(t.flatten().tolist()) for turn in turns for t in (turn, turn.flip(-1))}
    assert count == 8
    assert found == expected


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"stages": 5}, "choose 1, 2, 3 or 4"),
        ({"views": 0}, "choose 1 to 64"),
        ({"modality": "ultrasound"}, "there are: mri"),
    ],
)
def test_options_out_of_range_are_refused(options, match):
    with pytest.raises(OptionError, match=match):
        Trunk(**options)


def test_the_trunk_needs_its_own_size(small_set: Path):
    with pytest.raises(OptionError, match="lite0 sees 224"):
        Trunk(1).whole(build_store(rs.load(small_set), Preprocess(64)))
