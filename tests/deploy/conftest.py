"""Bundles made once for the tests of this folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import pytest
from bundle_lab import SET
from PIL import Image

import raresight as rs
from raresight.deploy.files import write_list


@pytest.fixture(scope="session")
def images():
    return rs.load(SET)


@pytest.fixture(scope="session")
def made(images):
    """A quick detector: logistic regression on a few principal components of the pixels."""
    return rs.train(images, "logistic", "smote", representation="pca[components=8]", preprocess="mri")


@pytest.fixture(scope="session")
def bundle(made, tmp_path_factory) -> Path:
    return made.save(tmp_path_factory.mktemp("bundles") / "quick")


@pytest.fixture(scope="session")
def pictures(images, tmp_path_factory) -> Path:
    """The set's first images, as files."""
    folder = tmp_path_factory.mktemp("pictures")
    for row in range(6):
        Image.fromarray(images.read(row)).save(folder / f"{row}.png")
    return folder


@pytest.fixture()
def changed(bundle, tmp_path) -> Callable[..., Path]:
    """Give a copy of the bundle with its facts changed, listed anew as a forger would."""

    def change(**facts: object) -> Path:
        copy = tmp_path / "changed"
        copytree(bundle, copy)
        content = json.loads((copy / "bundle.json").read_text())
        (copy / "bundle.json").write_text(json.dumps(content | facts))
        write_list(copy)
        return copy

    return change


@pytest.fixture()
def copy(bundle, tmp_path) -> Path:
    """A copy of the bundle, to be spoilt."""
    return Path(copytree(bundle, tmp_path / "copy"))
