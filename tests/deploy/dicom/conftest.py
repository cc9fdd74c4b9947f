"""A quick detector, studies of phantoms, and a PACS."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom import Dataset
from ward import Pacs, dicom_object, new_uid, seeing_bundle

from raresight.deploy.dicom.settings import NodeSettings, Peer
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
    copy = seeing_bundle(bundle, tmp_path_factory.mktemp("seeing") / "bundle")
    return Predictor(copy, threads=1)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    names = ("scorer", "sender", "fetcher")
    assert not [thread.name for thread in threading.enumerate() if thread.name in names]
