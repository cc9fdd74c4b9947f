from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from raresight.explain.chains import LogOdds, chain_of, cut_after
from raresight.networks.backbones import FrozenNorm, make_backbone
from raresight.networks.lite0 import Lite0Tail
from raresight.networks.residual import residual_network
from raresight.networks.training import local_seed
from raresight.networks.transformers import SwinClassifier, VisionTransformer

NETWORKS = {
    "cnn": (lambda: residual_network(1, width=8), (1, 56, 56)),
    "vit": (lambda: VisionTransformer(1, 56, patch=8, width=32, depth=1), (1, 56, 56)),
    "swin": (lambda: SwinClassifier(1, width=16, depths=(1, 2), heads=(1, 2)), (1, 56, 56)),
    "lite0 tail": (lambda: nn.Sequential(FrozenNorm(Lite0Tail(11)), nn.Linear(1280, 2)), (112, 14, 14)),
    "lite0": (lambda: nn.Sequential(make_backbone("lite0"), nn.Linear(1280, 2)), (1, 64, 64)),
    "unknown": (lambda: nn.Sequential(nn.Flatten(), nn.LazyLinear(2)), (1, 8, 8)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_chain_is_the_same_function_as_its_network(name: str):
    make, shape = NETWORKS[name]
    with local_seed(0):
        network, planes = make(), torch.rand(3, *shape)
    with torch.no_grad():
        logits = network.eval()(planes)
        chain = chain_of(network)
        score = chain(planes)
    assert score.shape == (3, 1)
    assert torch.allclose(score[:, 0], logits[:, 1] - logits[:, 0], atol=1e-4)
    assert np.ptp(score.numpy()) > 0


@pytest.mark.parametrize(
    ("name", "least", "places"), [("cnn", 7, 7), ("cnn", 14, 14), ("vit", 14, 14), ("vit", 7, 7)]
)
def test_a_chain_is_cut_at_the_last_maps_that_are_fine_enough(name: str, least: int, places: int):
    make, shape = NETWORKS[name]
    chain, example = chain_of(make()), torch.rand(1, *shape)
    cut = cut_after(chain, example, least)
    with torch.no_grad():
        assert chain[:cut](example).shape[2:] == (places, places)


def test_where_nothing_is_fine_enough_the_input_is_taken():
    make, shape = NETWORKS["cnn"]
    assert cut_after(chain_of(make()), torch.rand(1, *shape), 10**6) == 1


def test_scores_and_logits_both_become_one_score():
    assert LogOdds()(torch.tensor([2.0, 3.0])).tolist() == [[2.0], [3.0]]
    assert LogOdds()(torch.tensor([[2.0], [3.0]])).tolist() == [[2.0], [3.0]]
    assert LogOdds()(torch.tensor([[2.0, 5.0]])).tolist() == [[3.0]]
