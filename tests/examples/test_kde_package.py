"""The example package of the docs: installed, listed and compared like any detector."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "raresight-kde"


def raresight(folder: Path, *arguments: str) -> dict | list:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-m", "raresight", *arguments, "--json"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    install = [
        "install",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--target",
        str(folder),
        str(EXAMPLE),
    ]
    subprocess.run([sys.executable, "-m", "pip", *install], check=True, timeout=120)
    return folder


def test_another_package_adds_a_detector_through_its_entry_point(
    installed: Path, small_set: Path, tmp_path: Path
):
    listed = raresight(installed, "list", "detectors")
    assert {"name": "kde", "summary": "from raresight_kde", "source": ""} in listed
    out = str(tmp_path / "run")
    options = [
        "--models",
        "kde,logistic",
        "--balance",
        "none",
        "--folds",
        "3",
        "--workers",
        "1",
        "--out",
        out,
    ]
    found = raresight(installed, "compare", str(small_set), *options)
    auroc = {row["model"]: row["metrics"]["auroc"]["mean"] for row in found["recipes"]}
    assert set(auroc) == {"kde", "logistic"}
    assert auroc["kde"] > 0.6


def test_the_example_is_short_enough_to_read():
    assert len((EXAMPLE / "raresight_kde.py").read_text().splitlines()) <= 60
