"""Backbones other than lite0: graphs of the user's, and names that cannot be served."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

import raresight as rs
from raresight.errors import MissingExtraError, OptionError, RaresightError
from raresight.images.preprocess import Preprocess
from raresight.images.store import ImageStore, build_store
from raresight.networks.backbones import FrozenNorm, make_backbone
from raresight.represent.backbones import OnnxBackbone, open_backbone
from raresight.represent.embedding import Embedding


def write_graph(path: Path, shape: list, axes: list[int], rank: int = 4, output: list | None = None) -> str:
    """Write a graph that averages its input over some axes."""
    pixels = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    features = helper.make_tensor_value_info("y", TensorProto.FLOAT, output or ["n", 3])
    over = helper.make_tensor("axes", TensorProto.INT64, [len(axes)], axes)
    node = helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=int(rank != 4))
    graph = helper.make_graph([node], "mean", [pixels], [features], [over])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9), path)
    return f"onnx:{path}"


PIXELS = np.random.default_rng(0).integers(0, 255, (5, 32, 32, 3), np.uint8)


@pytest.mark.parametrize(
    ("shape", "axes"), [(["n", 32, 32, 3], [1, 2]), (["n", 3, "h", "w"], [2, 3])], ids=["last", "first"]
)
def test_a_graph_is_read_in_its_own_layout(tmp_path, shape, axes):
    network = open_backbone(write_graph(tmp_path / "mean.onnx", shape, axes))
    assert network.shape == (3,)
    assert network.side == (32 if shape[1] == 32 else None)
    np.testing.assert_allclose(network(PIXELS), PIXELS.mean(axis=(1, 2)), rtol=1e-4)
    np.testing.assert_allclose(network(PIXELS.astype(np.uint16) * 257), network(PIXELS), rtol=1e-4)
    np.testing.assert_allclose(network(PIXELS[..., :1])[:, 2], PIXELS[..., 0].mean(axis=(1, 2)), rtol=1e-4)
    assert (network.embed(PIXELS, workers=2) == network(PIXELS)).all()


def test_maps_that_a_graph_gives_are_averaged(tmp_path):
    name = write_graph(tmp_path / "maps.onnx", ["n", 3, 32, 32], [3], rank=3, output=["n", 3, 32, 1])
    np.testing.assert_allclose(open_backbone(name)(PIXELS), PIXELS.mean(axis=(1, 2)), rtol=1e-4)


@pytest.mark.parametrize(
    ("shape", "axes", "output", "match"),
    [
        (["n", 32, 32, 4], [1, 2], ["n", 4], "the input of .* shape"),
        (["n", 32, 16, 3], [1, 2], ["n", 3], "the input of .* shape"),
        ([1, 32, 32, 3], [1, 2], [1, 3], "with n free"),
        (["n", 32, 32, 3], [1], ["n", 32, 3], "the output of .* a backbone gives"),
    ],
)
def test_a_graph_of_the_wrong_shape_is_refused_in_one_sentence(tmp_path, shape, axes, output, match):
    with pytest.raises(OptionError, match=match) as raised:
        open_backbone(write_graph(tmp_path / "wrong.onnx", shape, axes, output=output))
    assert "\n" not in str(raised.value)


def test_a_file_that_is_missing_or_no_graph_is_refused(tmp_path):
    with pytest.raises(OptionError, match="there is no backbone file"):
        OnnxBackbone(tmp_path / "none.onnx")
    (tmp_path / "text.onnx").write_text("not a graph")
    with pytest.raises(OptionError, match="is not an ONNX graph"):
        OnnxBackbone(tmp_path / "text.onnx")


def test_an_embedding_by_a_graph_is_kept_by_its_content(small_set: Path, tmp_path):
    store: ImageStore = build_store(rs.load(small_set), Preprocess(32))
    name = write_graph(tmp_path / "mean.onnx", ["n", 32, 32, 3], [1, 2])
    first = Embedding(name)
    features = first.whole(store)
    expected = np.repeat(store.pixels.mean(axis=(1, 2)), 3 // store.pixels.shape[3], axis=1)
    np.testing.assert_allclose(features, expected, rtol=1e-4)
    before = first.key
    write_graph(tmp_path / "mean.onnx", ["n", 32, 32, 3], [1, 2], rank=3, output=["n", 1, 1, 3])
    assert Embedding(name).key != before
    write_graph(tmp_path / "mean.onnx", ["n", 64, 64, 3], [1, 2])
    with pytest.raises(OptionError, match="write --size 64"):
        Embedding(name).whole(store)


def test_random_weights_are_not_taken_for_an_embedding():
    with pytest.raises(OptionError, match="comes without weights"):
        open_backbone("monai:resnet18")
    with pytest.raises(OptionError, match="MONAI has: resnet18"):
        make_backbone("monai:alexnet")
    with pytest.raises(OptionError, match="cannot be trained"):
        make_backbone("onnx:some.onnx")


@pytest.mark.parametrize("name", ["monai:resnet18", "monai:densenet121", "monai:efficientnet-b0", "lite0"])
def test_a_trainable_backbone_gives_as_many_features_as_it_says(name):
    network = make_backbone(name).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 1, 64, 64)).shape == (2, network.width)
    assert network.pretrained == (name == "lite0")


def test_lite0_to_be_trained_is_lite0_that_is_frozen():
    pixels = np.random.default_rng(0).integers(0, 255, (2, 224, 224, 3), np.uint8)
    planes = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        trained = make_backbone("lite0").eval()(planes).numpy()
    np.testing.assert_allclose(trained, open_backbone("lite0")(pixels), atol=1e-3)


def test_hub_names_need_the_extra():
    for name in ("timm:resnet18", "hf:timm/resnet18.a1_in1k"):
        with pytest.raises(MissingExtraError, match=r"raresight\[hub\]"):
            make_backbone(name)


class FakeTimm(ModuleType):
    """timm with one model whose weights are in the cache, and one whose are not."""

    def __init__(self) -> None:
        super().__init__("timm")
        self.asked: list[str] = []

    def is_model(self, name: str) -> bool:
        return name in ("cached", "uncached")

    def create_model(self, name: str, pretrained: bool, num_classes: int) -> nn.Module:
        import os

        self.asked.append(name)
        assert os.environ["HF_HUB_OFFLINE"] == "1"
        if name not in ("cached", "hf-hub:someone/model"):
            raise OSError("offline")
        network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        network.num_features = 3
        network.pretrained_cfg = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
        return network


def test_timm_gives_its_cached_weights_and_nothing_is_downloaded(monkeypatch):
    timm = FakeTimm()
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    network = open_backbone("timm:cached")
    np.testing.assert_allclose(network(PIXELS), PIXELS.mean(axis=(1, 2)) / 127.5 - 1, rtol=1e-3, atol=1e-4)
    open_backbone("hf:someone/model")
    assert timm.asked == ["cached", "hf-hub:someone/model"]
    import os

    assert "HF_HUB_OFFLINE" not in os.environ
    with pytest.raises(RaresightError, match="not in the local cache.*fetch them once"):
        make_backbone("timm:uncached")
    with pytest.raises(OptionError, match="timm has no model 'other'"):
        make_backbone("timm:other")


def test_frozen_norm_keeps_statistics_and_trains_the_rest():
    network = FrozenNorm(nn.Sequential(nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Dropout())).train()
    before = network.network[1].running_mean.clone()
    network(torch.rand(4, 1, 8, 8)).sum().backward()
    assert (network.network[1].running_mean == before).all()
    assert network.network[2].training
    assert network.network[0].weight.grad is not None
