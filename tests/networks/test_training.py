"""The wrapper that trains networks."""

import numpy as np
import pytest
import torch
from torch import nn

from raresight.errors import OptionError, RaresightError
from raresight.images.augment import Augmentation
from raresight.networks import training
from raresight.networks.pixels import ImageNetwork, Pixels
from raresight.networks.residual import residual_network
from raresight.networks.rows import ImageRows, channel_statistics
from raresight.networks.training import (
    Schedule,
    Trainer,
    fast_layout,
    find_device,
    local_seed,
    network_output,
    train_network,
)


def images_and_shares(n=24, seed=0):
    """Images whose class is their brightness."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    images = rng.integers(0, 100, (n, 32, 32, 1)) + 120 * y[:, None, None, None]
    return images.astype(np.uint8), np.eye(2, dtype=np.float32)[y]


def small_network(seed=0):
    with local_seed(seed):
        body = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
        )
    return ImageNetwork(Pixels(np.uint8, 2), body)


def train_small(network, schedule, seed=0, weight=None, **settings):
    X, shares = images_and_shares()
    held = ImageRows(*images_and_shares(10, seed=1))
    return train_network(
        network, ImageRows(X, shares, weight), held, schedule=schedule, seed=seed, **settings
    )


def test_it_learns_and_keeps_the_best_epoch_on_the_validation_rows():
    network = small_network()
    history = train_small(network, Schedule(epochs=12, patience=12, batch_size=8, learning_rate=0.05))
    X, shares = images_and_shares(10, seed=1)
    logits = network_output(network, X)
    loss = nn.functional.cross_entropy(logits, torch.from_numpy(shares)).item()
    best = min(epoch["valid_loss"] for epoch in history)
    assert loss == pytest.approx(best, rel=1e-4)
    assert best < 0.5 * history[0]["valid_loss"]
    assert [epoch["epoch"] for epoch in history] == list(range(1, 13))


def test_it_stops_once_patience_is_over_and_restores_the_weights_from_before():
    # Labels of the validation rows are turned round: every step makes it worse.
    X, shares = images_and_shares()
    held, wrong = images_and_shares(10, seed=1)
    network = small_network()
    history = train_network(
        network,
        ImageRows(X, shares),
        ImageRows(held, wrong[:, ::-1]),
        schedule=Schedule(epochs=40, patience=3, batch_size=8, learning_rate=0.05),
    )
    losses = [epoch["valid_loss"] for epoch in history]
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + 3 < 40
    found = nn.functional.cross_entropy(
        network_output(network, held), torch.from_numpy(wrong[:, ::-1].copy())
    )
    assert found.item() == pytest.approx(losses[best], rel=1e-4)


def test_the_same_seed_gives_the_same_weights_bit_for_bit_and_another_one_others():
    def weights(seed):
        network = small_network()
        train_small(
            network, Schedule(epochs=2, batch_size=8), seed=seed, augmentation=Augmentation(rotation=20)
        )
        return torch.cat([p.flatten() for p in network.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_no_global_generator_is_touched():
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    train_small(small_network(), Schedule(epochs=1, batch_size=8))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)


def test_rows_of_weight_zero_teach_nothing():
    X, shares = images_and_shares()
    mislabelled = np.concatenate([shares, shares[:, ::-1]])
    weight = np.repeat([1.0, 0.0], len(X))
    network = small_network()
    rows = ImageRows(np.concatenate([X, X]), mislabelled, weight)
    held = ImageRows(*images_and_shares(10, seed=1))
    history = train_network(
        network, rows, held, schedule=Schedule(epochs=10, patience=10, batch_size=8, learning_rate=0.05)
    )
    assert history[-1]["valid_loss"] < 0.4


def test_validation_and_scoring_are_never_augmented(monkeypatch):
    seen = []

    def spy(planes, how, generator):
        seen.append(len(planes))
        return None

    monkeypatch.setattr(training, "draw_moves", spy)
    network = small_network()
    train_small(network, Schedule(epochs=2, batch_size=8))
    network_output(network, images_and_shares()[0])
    assert seen == [8] * 6


def test_divergence_is_said_in_one_sentence():
    with pytest.raises(RaresightError, match=r"training diverged in epoch 1 .*learning rate below 1e\+30"):
        train_small(small_network(), Schedule(epochs=30, batch_size=8, learning_rate=1e30))


def test_ctrl_c_is_not_taken_for_early_stopping(monkeypatch):
    def interrupted(self, *args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "train_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_small(small_network(), Schedule(epochs=2, batch_size=8))


def test_a_loss_of_ones_own_takes_the_place_of_cross_entropy():
    class Squared(nn.Module):
        def forward(self, output, target):
            return (output - target).square().mean(dim=1)

    network = small_network()
    train_small(
        network, Schedule(epochs=20, patience=20, batch_size=8, learning_rate=0.05), criterion=Squared()
    )
    X, shares = images_and_shares()
    assert np.abs(network_output(network, X).numpy() - shares).mean() < 0.3


def test_channel_statistics_are_those_of_the_first_rows_only():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (150, 8, 8, 3), dtype=np.uint8)
    images[..., 2] = 7
    mean, std = channel_statistics(images, Pixels(np.uint8), rows=100, size=64)
    expected = images[:100] / 255
    np.testing.assert_allclose(mean, expected.mean(axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(std[:2], expected[..., :2].std(axis=(0, 1, 2)), rtol=1e-5)
    assert std[2] == 1, "a constant channel is not divided by zero"


def test_residual_network_is_compact_and_takes_grey_and_colour():
    assert 2.5e5 < sum(p.numel() for p in residual_network(3, width=16).parameters()) < 3.5e5
    for channels in (1, 3):
        assert residual_network(channels, width=8)(torch.zeros(2, channels, 32, 48)).shape == (2, 2)


def test_devices_that_are_not_there_are_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert find_device("auto") == find_device("cpu") == "cpu"
    with pytest.raises(OptionError, match="no CUDA device here"):
        find_device("cuda")
    with pytest.raises(OptionError, match="unknown device 'tpu'"):
        find_device("tpu")


def test_a_width_that_torch_cannot_train_safely_is_refused():
    with pytest.raises(OptionError, match="multiple of 8, not 12"):
        residual_network(1, width=12)


def test_channels_lie_last_only_where_that_is_safe():
    assert fast_layout(residual_network(3, width=8)) is torch.channels_last
    assert fast_layout(nn.Conv2d(3, 4, 3)) is torch.contiguous_format
