from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_sample_weight

from raresight.balance.costs import ClassBalanced, ClassWeight, Focal, LogitAdjustment, Threshold
from raresight.errors import OptionError

Y = np.r_[np.zeros(90, int), np.ones(10, int)]


def test_class_weights_are_scikit_learns():
    assert np.allclose(ClassWeight().sample_weight(Y), compute_sample_weight("balanced", Y))


def test_class_balanced_weights_run_from_none_to_inverse_frequency():
    assert np.allclose(ClassBalanced(beta=0.0).sample_weight(Y), 1)
    near = ClassBalanced(beta=0.999999).sample_weight(Y)
    assert np.allclose(near, ClassWeight().sample_weight(Y), rtol=1e-3)
    assert ClassBalanced().sample_weight(Y).mean() == pytest.approx(1)


def test_focal_loss_without_gamma_is_weighted_cross_entropy():
    logits = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    target = torch.tensor([0, 1] * 10)
    shares = torch.nn.functional.one_hot(target, 2).float()
    balanced = np.array([0, 1] * 50)
    found = Focal(gamma=0.0).loss(balanced)(logits, shares)
    assert torch.allclose(found, torch.nn.functional.cross_entropy(logits, target, reduction="none"))


def test_focal_loss_forgives_what_is_right_already():
    loss = Focal(gamma=2.0).loss(np.array([0, 1] * 50))
    shares = torch.tensor([[0.0, 1.0]])
    right, wrong = loss(torch.tensor([[-3.0, 3.0]]), shares), loss(torch.tensor([[3.0, -3.0]]), shares)
    plain = torch.nn.functional.cross_entropy(torch.tensor([[-3.0, 3.0]]), torch.tensor([1]))
    assert right.item() < 1e-4 * plain.item() and wrong.item() > 5


def test_logit_adjustment_moves_the_log_odds_by_the_class_ratio():
    assert LogitAdjustment().logit_shift(Y) == pytest.approx(np.log(9))
    assert LogitAdjustment(tau=0.5).logit_shift(Y) == pytest.approx(np.log(9) / 2)


def test_costs_keep_every_row_and_make_none():
    X = np.random.default_rng(0).normal(size=(100, 3))
    for cost in (ClassWeight(), ClassBalanced(), Focal(), LogitAdjustment(), Threshold()):
        plan = cost.plan(X, Y)
        assert len(plan) == 0 and (plan.keep == np.arange(100)).all()


@pytest.mark.parametrize("make", [lambda: ClassBalanced(beta=1.0), lambda: Focal(gamma=-1)])
def test_options_out_of_range_are_refused(make):
    with pytest.raises(OptionError, match="out of range"):
        make()
