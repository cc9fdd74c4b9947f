"""From stored pixels to a network's input."""

import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from raresight.errors import DataError
from raresight.networks.pixels import Normalise, Pixels


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535)])
def test_white_is_one_and_channels_come_first(dtype, white):
    images = torch.from_numpy(np.full((2, 8, 6, 3), white, dtype))
    planes = Pixels(dtype)(images)
    assert planes.shape == (2, 3, 8, 6)
    assert torch.equal(planes, torch.ones(2, 3, 8, 6))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("shrink", [1, 2, 3])
def test_shrinking_averages_blocks_and_drops_what_does_not_fill_one(channels, shrink):
    images = np.random.default_rng(0).integers(0, 256, (2, 16, 13, channels), dtype=np.uint8)
    expected = avg_pool2d(torch.from_numpy(images).float().permute(0, 3, 1, 2) / 255, shrink)
    torch.testing.assert_close(Pixels(np.uint8, shrink)(torch.from_numpy(images)), expected)


def test_other_dtypes_are_refused():
    with pytest.raises(DataError, match="uint8 or uint16 images, not float32"):
        Pixels(np.float32)


def test_normalise_keeps_its_numbers_as_buffers():
    layer = Normalise([0.2, 0.4], [0.5, 2.0])
    assert not list(layer.parameters())
    assert set(layer.state_dict()) == {"mean", "std"}
    planes = torch.tensor([0.7, 2.4]).view(1, 2, 1, 1)
    torch.testing.assert_close(layer(planes), torch.ones(1, 2, 1, 1))
