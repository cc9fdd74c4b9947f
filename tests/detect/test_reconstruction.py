"""The detectors that redraw normal images."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from raresight.detect import DETECTORS
from raresight.detect.reconstruction import mean_image
from raresight.errors import DataError, OptionError, RaresightError
from raresight.networks.pixels import Pixels
from raresight.networks.reconstruction import (
    ContextVariational,
    Denoising,
    TopShare,
    Variational,
    blur,
    dissimilarity,
)
from raresight.networks.redrawers import Denoiser, DenseAutoencoder

NAMES = ["ae", "vae", "dae", "ceae", "cevae"]
QUICK = {"width": 8, "epochs": 12, "batch_size": 8}


def discs(n=48, size=32, spots=0, seed=0):
    """Smooth discs of a varying place; the last `spots` of them hold a bright spot."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    images = []
    for i in range(n):
        y, x = size / 2 + random.uniform(-2, 2, 2)
        image = 110.0 * (np.hypot(rows - y, columns - x) < size * 0.4) + random.normal(20, 3, (size, size))
        if i >= n - spots:
            r, c = size / 2 + random.uniform(-6, 6, 2)
            image += 90 * (np.hypot(rows - r, columns - c) < 3)
        images.append(image)
    return np.clip(images, 0, 255).astype(np.uint8)[..., None], (np.arange(n) >= n - spots).astype(int)


def make(name, **more):
    return DETECTORS[name].load()(**QUICK | more)


@pytest.mark.parametrize("name", NAMES)
def test_spots_that_normal_images_lack_score_higher(name):
    X, y = discs(40, spots=20, seed=9)
    detector = make(name, score="l1").fit(discs()[0])
    assert roc_auc_score(y, detector.decision_function(X)) > 0.85
    maps = detector.heatmap(X[y == 1])
    inside = np.array([m[p[..., 0] > 180].mean() for m, p in zip(maps, X[y == 1], strict=True)])
    assert (inside > maps.mean(axis=(1, 2))).mean() > 0.85


def random_network():
    """Weights, and what normalisation holds, all other than at the start of training."""
    torch.manual_seed(0)
    network = DenseAutoencoder(torch.rand(1, 32, 32), latent=5, width=8)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        network.train()(torch.rand(16, 1, 32, 32))
    return network.eval()


def test_the_loss_gradient_is_that_of_automatic_differentiation():
    network = random_network()
    x = torch.rand(3, 1, 32, 32, requires_grad=True)
    mean, log_variance = network.encode_forward(x)
    loss = (x - network.redraw(mean)).square().sum() + 0.3 * network.divergence(mean, log_variance).sum()
    (wanted,) = torch.autograd.grad(loss, x)
    assert wanted.abs().mean() > 0.1
    torch.testing.assert_close(network.loss_gradient(x.detach(), 0.3), wanted, rtol=1e-3, atol=1e-3)


def test_context_maps_are_errors_times_the_gradient():
    network, x = random_network(), torch.rand(2, 1, 32, 32)
    plain = Variational(network, "l1", 0.1).raw_maps(x)
    weighed = ContextVariational(network, "l1", 0.1).raw_maps(x)
    torch.testing.assert_close(weighed, plain * blur(network.loss_gradient(x, 0.1).abs(), 32 / 28))


def test_training_starts_from_the_mean_image_and_from_no_noise():
    x = torch.rand(4, 1, 32, 32)
    mean = x.mean(dim=0)
    torch.testing.assert_close(
        DenseAutoencoder(mean, latent=3, width=8)(x), mean.expand(4, -1, -1, -1), rtol=0, atol=1e-6
    )
    torch.testing.assert_close(Denoiser(1, 8)(x), x)


def test_noise_lies_on_the_foreground_only_and_validation_always_has_the_same():
    x = torch.rand(3, 1, 32, 32) + 0.1
    x[..., :10] = 0
    body = Denoising(Denoiser(1, 8), "l1", 0.2).eval()
    noise = body.spoilt(x) - x
    assert (noise[..., :10] == 0).all()
    assert 0.05 < float(noise[..., 10:].std()) < 0.3
    assert torch.equal(body.spoilt(x) - x, noise)
    assert not torch.equal(body.train().spoilt(x) - x, noise)


def test_structural_dissimilarity_is_0_for_the_same_image_and_grows_with_the_change():
    x = torch.rand(1, 1, 24, 24)
    assert float(dissimilarity(x, x).abs().max()) < 1e-3
    little, much = (float(dissimilarity(x, x + k * torch.rand_like(x)).mean()) for k in (0.1, 1.0))
    assert 0 < little < much


def test_a_blurred_constant_stays_constant():
    torch.testing.assert_close(blur(torch.full((2, 3, 20, 24), 0.7), 2.0), torch.full((2, 3, 20, 24), 0.7))


def test_the_score_is_the_mean_of_the_highest_pixels():
    class Fixed(torch.nn.Module):
        def maps(self, planes):
            return planes

    planes = torch.arange(200.0).view(2, 1, 10, 10)
    assert TopShare(Fixed(), 0.02)(planes).tolist() == [98.5, 198.5]
    assert TopShare(Fixed(), 1.0)(planes).tolist() == [49.5, 149.5]


def test_the_mean_image_is_read_in_blocks():
    X = discs(130)[0]
    mean = mean_image(X, Pixels(X.dtype))
    np.testing.assert_allclose(mean[0].numpy(), X[..., 0].mean(axis=0) / 255, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"score": "l3"}, "score"),
        ({"top": 0}, "top"),
        ({"top": 1.5}, "top"),
        ({"width": 12}, "width"),
        ({"latent": 0}, "latent"),
        ({"validation_fraction": 0.9}, "validation fraction"),
    ],
)
def test_an_option_that_cannot_be_is_refused_by_name(options, named):
    with pytest.raises(OptionError, match=named):
        make("ae", **options).fit(discs(8)[0])


@pytest.mark.parametrize("size", [24, 36])
def test_sides_that_do_not_fit_are_refused(size):
    with pytest.raises(DataError, match="multiples of 8"):
        make("ae").fit(discs(8, size=size)[0])


def test_validation_images_of_another_size_are_refused():
    with pytest.raises(DataError, match="prepare both alike"):
        make("ae").fit(discs(8)[0], None, validation=(discs(4, size=40)[0], np.zeros(4, int)))


def test_divergence_is_reported():
    with pytest.raises(RaresightError, match="diverged"):
        make("ae", learning_rate=1e30).fit(discs(24)[0])


def test_without_normal_images_there_is_nothing_to_learn():
    with pytest.raises(DataError, match="normal"):
        make("dae").fit(discs(8)[0], np.ones(8, int))
