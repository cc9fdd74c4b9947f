"""Augmentation of training batches."""

import pytest
import torch

from raresight.errors import OptionError
from raresight.images.augment import AUGMENTATIONS, Augmentation, augment, find_augmentation


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def disc(height: int = 40, width: int = 60) -> torch.Tensor:
    """Make 64 images of a bright disc on black."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    inside = (y - (height - 1) / 2) ** 2 + (x - (width - 1) / 2) ** 2 < 12**2
    return inside.float().expand(64, 1, height, width).contiguous()


def test_the_same_generator_gives_the_same_images_and_another_one_others():
    images = torch.rand(8, 3, 32, 32, generator=generator())
    how = AUGMENTATIONS["default"]
    first = augment(images, how, generator(1))
    assert torch.equal(first, augment(images, how, generator(1)))
    assert not torch.equal(first, augment(images, how, generator(2)))


def test_no_global_generator_is_touched():
    before = torch.get_rng_state()
    augment(torch.rand(2, 1, 32, 32, generator=generator()), AUGMENTATIONS["default"], generator())
    assert torch.equal(torch.get_rng_state(), before)


def test_none_leaves_images_as_they_are():
    images = torch.rand(4, 1, 32, 32, generator=generator())
    assert augment(images, AUGMENTATIONS["none"], generator()) is images


def test_a_horizontal_flip_mirrors_exactly_about_half_of_the_images():
    images = torch.rand(64, 2, 24, 32, generator=generator())
    moved = augment(images, Augmentation(flip_horizontal=True), generator())
    same = [torch.allclose(m, i, atol=1e-5) for m, i in zip(moved, images, strict=True)]
    mirrored = [torch.allclose(m, i.flip(-1), atol=1e-5) for m, i in zip(moved, images, strict=True)]
    assert all(a != b for a, b in zip(same, mirrored, strict=True))
    assert 16 < sum(mirrored) < 48


def test_a_vertical_flip_turns_images_upside_down():
    images = torch.rand(64, 1, 24, 32, generator=generator())
    moved = augment(images, Augmentation(flip_vertical=True), generator())
    flipped = [torch.allclose(m, i.flip(-2), atol=1e-5) for m, i in zip(moved, images, strict=True)]
    assert 16 < sum(flipped) < 48


def test_rotation_stays_rigid_in_images_that_are_not_square():
    # A centred disc doesn't change when turned; it would become an ellipse were the aspect ignored.
    images = disc()
    moved = augment(images, Augmentation(rotation=180), generator())
    assert (moved - images).abs().mean() < 0.02


def test_rotation_by_any_angle_moves_what_is_not_round():
    bar = torch.zeros(16, 1, 33, 33)
    bar[:, :, 15:18, 4:29] = 1
    moved = augment(bar, Augmentation(rotation=180), generator())
    assert moved[:, :, :10].sum(dim=(1, 2, 3)).gt(1).sum() > 4
    assert torch.allclose(moved.sum(dim=(1, 2, 3)), bar.sum(dim=(1, 2, 3)), rtol=0.1)


def test_scale_magnifies_within_its_bounds():
    area = disc()[0].sum()
    ratio = augment(disc(), Augmentation(scale=(0.8, 1.25)), generator()).sum(dim=(1, 2, 3)) / area
    assert ratio.min() > 0.8**2 - 0.05
    assert ratio.max() < 1.25**2 + 0.05
    assert ratio.min() < 0.8
    assert ratio.max() > 1.25


def test_shift_moves_the_centre_by_at_most_its_fraction():
    images = disc()
    moved = augment(images, Augmentation(shift=0.1), generator())[:, 0]
    columns = (moved.sum(1) * torch.arange(60)).sum(1) / moved.sum((1, 2))
    offset = columns - 29.5
    assert 3 < offset.abs().max() <= 6.2


def test_what_comes_in_from_outside_is_black():
    moved = augment(torch.ones(32, 1, 32, 32), Augmentation(rotation=45), generator())
    assert moved[:, :, 0, 0].min() == 0
    assert torch.allclose(moved[:, :, 16, 16], torch.tensor(1.0))


def test_a_chest_film_is_never_turned_upside_down_nor_mirrored():
    assert not AUGMENTATIONS["xray"].flip_vertical
    assert not AUGMENTATIONS["xray"].flip_horizontal
    assert AUGMENTATIONS["fundus"].flip_vertical


def test_an_unknown_name_lists_those_there_are():
    with pytest.raises(OptionError, match=r"unknown augmentation 'mir'; there are: mri, fundus"):
        find_augmentation("mir")


@pytest.mark.parametrize(
    "settings", [{"scale": (1.2, 0.8)}, {"scale": (0, 1)}, {"rotation": 200}, {"shift": 1.5}]
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(OptionError):
        Augmentation(**settings)
