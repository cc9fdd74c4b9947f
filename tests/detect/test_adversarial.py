from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from raresight.detect.adversarial import AnoGAN, FAnoGAN
from raresight.errors import OptionError, RaresightError
from raresight.networks import inversion, wgan
from raresight.networks.pullback import with_pullback

QUICK = {"latent": 8, "width": 4, "steps": 5, "device": "cpu"}
KINDS = [FAnoGAN, AnoGAN]


def blobs(n: int, spot: bool = False, seed: int = 0) -> np.ndarray:
    """Draw a bright, soft disc of random place; for an anomaly a dark hole in it."""
    random = np.random.default_rng(seed)
    place = np.arange(56)
    images = np.empty((n, 56, 56, 1), np.uint8)
    for image in images:
        x, y = random.uniform(24, 32, 2)
        image[..., 0] = 200 * np.exp(-((np.hypot(place[:, None] - y, place - x) / 18) ** 4)) + 20
        if spot:
            top, left = random.integers(18, 30, 2)
            image[top : top + 9, left : left + 9] = 40
    return images


@pytest.mark.parametrize(("kind", "more"), [(FAnoGAN, {"encoder_steps": 40}), (AnoGAN, {"search_steps": 10})])
def test_holes_in_discs_are_found_and_lit_up(kind, more):
    detector = kind(**QUICK, **more).fit(blobs(60))
    normal, odd = blobs(20, seed=1), blobs(20, spot=True, seed=1)
    scores = np.concatenate([detector.decision_function(normal), detector.decision_function(odd)])
    assert roc_auc_score(np.repeat([0, 1], 20), scores) > 0.9
    hole = (normal.astype(int) - odd)[..., 0] > 60
    maps = detector.heatmap(odd)
    assert roc_auc_score(hole.ravel(), maps.ravel()) > 0.65


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "options",
    [{"latent": 0}, {"steps": 0}, {"top": 0.0}, {"top": 1.5}, {"smoothing": 2}, {"learning_rate": 0.0}],
    ids=str,
)
def test_an_option_out_of_range_is_named(kind, options):
    with pytest.raises(OptionError, match=next(iter(options))):
        kind(**{**QUICK, **options}).fit(blobs(6))


@pytest.mark.parametrize(
    ("kind", "options"),
    [(FAnoGAN, {"kappa": -1.0}), (FAnoGAN, {"encoder_steps": 0}), (AnoGAN, {"weight": 2.0})],
)
def test_so_is_one_of_its_own(kind, options):
    with pytest.raises(OptionError, match=next(iter(options))):
        kind(**{**QUICK, **options}).fit(blobs(6))


def test_training_that_diverges_is_begun_again_and_counted(monkeypatch):
    train, seeds = wgan._train, []

    def failing(*args):
        seeds.append(args[-1])
        if len(seeds) < 3:
            raise wgan.DivergedError("a loss is no longer a finite number")
        return train(*args)

    monkeypatch.setattr(wgan, "_train", failing)
    detector = AnoGAN(**QUICK).fit(blobs(6))
    assert detector.restarts_ == 2 and len(set(seeds)) == 3


@pytest.mark.parametrize("kind", KINDS)
def test_a_rate_that_always_diverges_is_given_up_in_one_sentence(kind):
    with pytest.raises(
        RaresightError, match="diverged from 3 different first weights; choose a learning_rate"
    ):
        kind(**{**QUICK, "steps": 8, "learning_rate": 1e30}).fit(blobs(6))


def test_an_encoder_that_diverges_is_begun_again_too(monkeypatch):
    monkeypatch.setattr(wgan, "RESTARTS", 0)
    with pytest.raises(RaresightError, match="diverged"):
        FAnoGAN(**QUICK, encoder_steps=8, encoder_rate=1e30).fit(blobs(6))


def test_the_written_gradient_is_autograds():
    torch.manual_seed(0)
    planes, labels = torch.rand(6, 1, 64, 64) * 2 - 1, np.array([0, 0, 0, 1, 1, 1])
    generator = wgan.make_generator(planes, labels, 5, 3, 2)
    for parameter in generator.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    network = nn.Sequential(*generator, *wgan.make_features(1, 3)).eval()
    code = torch.randn(4, 7, requires_grad=True)
    output, back = with_pullback(network, code)
    gradient = torch.randn_like(output)
    (expected,) = torch.autograd.grad((output * gradient).sum(), code)
    torch.testing.assert_close(back(gradient), expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(TypeError, match="Softmax"):
        with_pullback(nn.Sequential(nn.Softmax(dim=1)), code)


def test_a_generator_starts_from_each_classes_mean():
    dark, bright = torch.rand(9, 1, 64, 64) * 0.2 - 0.8, torch.rand(9, 1, 64, 64) * 0.2 + 0.5
    generator = wgan.make_generator(torch.cat([dark, bright]), np.repeat([0, 1], 9), 5, 3, 2)
    drawn = generator(torch.cat([torch.zeros(2, 5), torch.eye(2)], dim=1))
    assert (drawn[0] - dark.mean(dim=0)).abs().mean() < 0.02
    assert (drawn[1] - bright.mean(dim=0)).abs().mean() < 0.02


def test_a_penalty_is_that_of_a_linear_critics_slope():
    class Linear(nn.Module):
        def forward(self, planes, classes):
            return 3 * planes.flatten(1)[:, 0]

    real, drawn = torch.rand(4, 1, 64, 64), torch.rand(4, 1, 64, 64)
    penalty = wgan.gradient_penalty(Linear(), real, drawn, torch.empty(4, 0))
    assert float(penalty) == pytest.approx(4.0)


def test_a_search_goes_towards_the_image():
    detector = AnoGAN(**QUICK, search_steps=20).fit(blobs(40))
    planes = detector.planes_(torch.from_numpy(blobs(8, seed=2)))

    def error(steps: int) -> float:
        found = inversion.Searched(
            detector.pair_.generator,
            detector.pair_.critic.features,
            latent=8,
            steps=steps,
            rate=1.0,
            weight=0.1,
        )
        return float((found(planes) - planes).abs().mean())

    assert error(20) < 0.7 * error(0)
