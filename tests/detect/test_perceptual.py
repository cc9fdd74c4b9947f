"""The deep perceptual autoencoder."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from test_reconstruction import discs

from raresight.detect.perceptual import PerceptualAutoencoder
from raresight.errors import OptionError
from raresight.networks.perceptual import Features, GrowingAutoencoder, Perceptual

QUICK = {"pixels": 56, "width": 8, "latent": 16, "epochs": 12, "batch_size": 8}


@pytest.fixture(scope="module")
def features():
    return Features()


def test_spots_that_normal_images_lack_score_higher():
    X, y = discs(40, size=56, spots=20, seed=9)
    detector = PerceptualAutoencoder(**QUICK).fit(discs(48, size=56)[0])
    assert roc_auc_score(y, detector.decision_function(X)) > 0.85
    assert [epoch["epoch"] for epoch in detector.history_] == list(range(1, 13))


@pytest.mark.parametrize("level", [0, 1, 2])
def test_each_level_redraws_images_of_its_size(level):
    network = GrowingAutoencoder(1, (56, 40), latent=4, width=8)
    network.level = level
    shape = (2, 1, 56 // 2**level, 40 // 2**level)
    assert network(torch.rand(shape)).shape == shape


def test_the_loss_is_the_relative_distance_of_scaled_features(features):
    x = torch.rand(3, 1, 56, 56)
    features.learn([x])
    maps = features(x)
    for each in maps:
        torch.testing.assert_close(each.mean(dim=(0, 2, 3)), torch.zeros(each.shape[1]), rtol=0, atol=1e-3)
    network = GrowingAutoencoder(1, (56, 56), latent=4, width=8).eval()
    loss = Perceptual(network, features).eval()(x)
    with torch.no_grad():
        drawn = features(network(x))
    shares = [
        (a - b).abs().sum(dim=(1, 2, 3)) / a.abs().sum(dim=(1, 2, 3))
        for a, b in zip(maps, drawn, strict=True)
    ]
    torch.testing.assert_close(loss, torch.stack(shares).mean(dim=0))


def test_the_pretrained_part_is_never_trained(features):
    body = Perceptual(GrowingAutoencoder(1, (56, 56), latent=4, width=8), features).train()
    before = {key: value.clone() for key, value in features.state_dict().items()}
    body(torch.rand(4, 1, 56, 56)).mean().backward()
    assert not any(module.training for module in features.modules())
    assert all(parameter.grad is None for parameter in features.parameters())
    assert all(torch.equal(value, before[key]) for key, value in features.state_dict().items())


def test_a_code_of_no_length_is_refused():
    with pytest.raises(OptionError, match="latent"):
        PerceptualAutoencoder(**QUICK | {"latent": 0}).fit(np.zeros((8, 56, 56, 1), np.uint8))
