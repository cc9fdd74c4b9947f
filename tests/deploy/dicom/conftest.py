"""A quick detector, studies of phantoms, and a PACS."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import onnx
import pytest
from pydicom import Dataset
from ward import Pacs, dicom_object, new_uid

from raresight.deploy.dicom.settings import NodeSettings, Peer
from raresight.deploy.files import write_list
from raresight.deploy.predictor import Predictor


@pytest.fixture(scope="session")
def predictor(bundle) -> Predictor:
    return Predictor(bundle, threads=1)


@pytest.fixture()
def study(images) -> Callable[..., list[Dataset]]:
    """Give the images of a study."""

    def make(count: int = 3, first: int = 0, **changes: object) -> list[Dataset]:
        uid = new_uid()
        return [dicom_object(images.read(first + k), uid, k + 1, **changes) for k in range(count)]

    return make


@pytest.fixture()
def pacs():
    running = Pacs().open()
    yield running
    running.close()


@pytest.fixture()
def settings(tmp_path: Path) -> Callable[..., NodeSettings]:
    def make(**changes: object) -> NodeSettings:
        base: dict = {
            "spool": tmp_path / "spool",
            "port": 0,
            "send_to": Peer("PACS", "127.0.0.1", 1),
            "quiet": 0.3,
            "min_free_bytes": 0,
            "retry": (0.1, 0.4),
        }
        return NodeSettings(**(base | changes))

    return make


@pytest.fixture()
def to_pacs(settings, pacs: Pacs) -> Callable[..., NodeSettings]:
    return lambda **changes: settings(send_to=Peer("PACS", "127.0.0.1", pacs.port), **changes)


@pytest.fixture(scope="session")
def seeing(bundle: Path, tmp_path_factory) -> Predictor:
    """The quick detector with an explanation graph that calls bright places hot."""
    copy = Path(copytree(bundle, tmp_path_factory.mktemp("seeing") / "bundle"))
    content = json.loads((copy / "bundle.json").read_text())
    size, channels = content["input"]["size"], content["input"]["channels"]
    onnx.save(brightness_graph(size, channels), copy / "explain.onnx")
    content["graphs"]["explain"] = {
        "file": "explain.onnx",
        "method": "brightness",
        "low": 120.0,
        "high": 250.0,
    }
    (copy / "bundle.json").write_text(json.dumps(content))
    write_list(copy)
    return Predictor(copy, threads=1)


def brightness_graph(size: int, channels: int) -> onnx.ModelProto:
    """Mean brightness of cells of 8 × 8 pixels."""
    make = onnx.helper
    nodes = [
        make.make_node("Cast", ["pixels"], ["wide"], to=onnx.TensorProto.FLOAT),
        make.make_node("Transpose", ["wide"], ["planes"], perm=[0, 3, 1, 2]),
        make.make_node("AveragePool", ["planes"], ["cells"], kernel_shape=[8, 8], strides=[8, 8]),
        make.make_node("ReduceMean", ["cells"], ["heat"], axes=[1], keepdims=0),
    ]
    pixels = make.make_tensor_value_info("pixels", onnx.TensorProto.UINT8, ["n", size, size, channels])
    heat = make.make_tensor_value_info("heat", onnx.TensorProto.FLOAT, ["n", size // 8, size // 8])
    graph = make.make_graph(nodes, "brightness", [pixels], [heat])
    return make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    names = ("scorer", "sender", "fetcher")
    assert not [thread.name for thread in threading.enumerate() if thread.name in names]
