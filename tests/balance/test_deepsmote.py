from __future__ import annotations

import numpy as np
import pytest
import torch
from test_latent import discs, error, labels

from raresight.balance import DeepSMOTE
from raresight.errors import OptionError
from raresight.networks.autoencoder import Autoencoder, Reconstruction, fit_autoencoder
from raresight.networks.pixels import Pixels

QUICK = {"random_state": 0, "steps": 8, "latent": 8, "width": 4}


@pytest.mark.parametrize("penalty", ["paper", "published-code"])
def test_the_plan_is_smotes_and_its_images_keep_shape_and_dtype(penalty):
    X, y = discs(30, channels=3), labels(30)
    plan = DeepSMOTE(**QUICK, penalty=penalty).plan(X, y)
    balanced = plan.balanced(X)
    assert balanced.shape == (44, 40, 40, 3) and balanced.dtype == np.uint8
    assert plan.labels(y).sum() == 22 and plan.check(30) == 0
    assert (y[plan.parents()] == 1).all()


@pytest.mark.parametrize("detach", [True, False])
def test_the_published_codes_penalty_trains_the_decoder_alone_and_the_papers_both(detach):
    torch.manual_seed(0)
    body = Autoencoder(torch.zeros(1, 64, 64), torch.zeros(5, 64 * 64), 1.0, width=4, mates=6, detach=detach)
    for parameter in body.parameters():
        parameter.data += 0.05 * torch.randn_like(parameter)
    images = torch.rand(10, 1, 64, 64)
    (body.train()(images)[-6:] - images[-6:]).square().mean().backward()

    def trained(part: torch.nn.Module) -> bool:
        return any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in part.parameters())

    assert trained(body.decoder)
    assert trained(body.encoder) is not detach


def test_in_training_the_mates_are_drawn_from_each_others_codes_and_afterwards_from_their_own():
    body = Autoencoder(torch.zeros(1, 64, 64), torch.eye(7, 64 * 64), 1.0, width=4, mates=3)
    images = torch.rand(5, 1, 64, 64)
    body.train()
    made = body(images).flatten(1)[:, :7]
    own = images.flatten(1)[:, :7]
    assert torch.allclose(made, own[[0, 1, 3, 4, 2]], atol=1e-6)
    assert torch.allclose(body.eval()(images).flatten(1)[:, :7], own, atol=1e-6)


@pytest.mark.parametrize("same_order", [True, False])
def test_a_batch_ends_with_mates_of_one_class_held_against_the_order_that_the_penalty_wants(same_order):
    X, y = discs(20, 64), labels(20)
    pixels = Pixels(np.uint8)
    data = Reconstruction(X, pixels, labels=y, mates=5, same_order=same_order, seed=0)
    classes = set()
    for _ in range(20):
        x, wanted = data[[0, 3, 15]]
        assert x.shape == (8, 64, 64, 1)
        planes, target = pixels(x), wanted["target"]
        assert (target[:3] == planes[:3]).all()
        expected = planes[3:].roll(-1, dims=0) if same_order else planes[3:]
        assert (target[3:] == expected).all()
        rows = [int(np.flatnonzero((image == X).all(axis=(1, 2, 3)))[0]) for image in x[3:].numpy()]
        assert len(set(rows)) == 5 and len(set(y[rows])) == 1
        classes.add(int(y[rows[0]]))
        # mean over the images plus mean over the mates, whatever their numbers
        assert wanted["weight"][:3].mean() * 3 == pytest.approx(8)
        assert wanted["weight"][3:].mean() * 5 == pytest.approx(8)
    assert classes == {0, 1}


def test_the_papers_penalty_draws_images_towards_their_class_and_the_codes_does_not():
    X, y = discs(40, 64), labels(40, 16)
    errors = {}
    for penalty in ("paper", "published-code"):
        codec = fit_autoencoder(X, y, penalty=penalty, latent=16, width=4, steps=60, seed=0)
        errors[penalty] = error(codec.decode(codec.encode(X), 64, 64), X)
    assert errors["paper"] > 1.3 * errors["published-code"]


def test_a_penalty_of_another_name_is_refused():
    with pytest.raises(OptionError, match="penalty"):
        DeepSMOTE(penalty="none").plan(discs(24), labels(24))


def test_the_seed_decides():
    X, y = discs(24), labels(24)
    first, again = (DeepSMOTE(**QUICK).plan(X, y).rows(X) for _ in range(2))
    assert (first == again).all()
