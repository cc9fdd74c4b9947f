"""A real PACS, Debian's Orthanc, and DCMTK talk to a node; see ``orthanc_exchange.py``."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import raresight as rs

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "deploy" / "dicom"))

from ward import seeing_bundle  # noqa: E402

SET = "phantom:brain?n=48&anomalies=0.4&difficulty=0&seed=0"
TOOLS = ("Orthanc", "storescu", "echoscu", "dciodvfy", "unshare", "ip", "ss", "openssl")


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict:
    """Let them talk once; what came of it."""
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; run tests/system/install.sh")
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
        pytest.skip("this user may not make a network namespace (unshare -n), and Orthanc listens everywhere")
    work = tmp_path_factory.mktemp("orthanc")
    made = rs.train(rs.load(SET), "logistic", "smote", representation="pca[components=8]", preprocess="mri")
    bundle = seeing_bundle(made.save(work / "quick"), work / "bundle")
    inside = 'ip link set lo up && exec "$@"'
    command = [sys.executable, str(HERE / "orthanc_exchange.py"), str(work), str(bundle)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(rs.__file__).parents[1])}
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", inside, "sh", *command],
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((work / "said.json").read_text())


def part(said: dict, name: str) -> dict:
    assert "failed" not in said[name], said[name]["failed"]
    return said[name]


def test_a_study_from_orthanc_comes_back_with_report_heatmaps_and_presentation_states(said: dict):
    one = part(said, "from_orthanc")
    assert one["counts"] == {"SR": 1, "OT": 4, "PR": 1} and one["images"] and one["patients"] == 1
    assert one["previews"] == [200] * 4


def test_dciodvfy_finds_no_error_in_any_result(said: dict):
    assert part(said, "from_orthanc")["errors"] == {"SR": [], "OT": [], "PR": []}


def test_dcmtk_is_answered_too(said: dict):
    one = part(said, "from_dcmtk")
    assert one["echo"] == 0 and one["wrong_title"] != 0 and one["images"]
    assert one["counts"] == {"SR": 1, "OT": 12, "PR": 1}
    assert one["objects_per_second"] > 5 and one["seconds_to_results"] < 30


@pytest.mark.parametrize("moment", ["waiting", "scoring", "outbox"])
def test_a_kill_loses_nothing_and_doubles_nothing(said: dict, moment: str):
    one = part(said, "killed")[moment]
    assert any(one["left"].values()) and one["images"] and one["reports"] <= 2


def test_results_wait_for_a_pacs_that_is_down(said: dict):
    assert part(said, "without_pacs")["counts"] == {"SR": 1, "OT": 2, "PR": 1}


def test_tls_with_certificates_on_both_sides(said: dict):
    one = part(said, "over_tls")
    assert one["plain"] != 0 and one["nameless"] != 0 and one["reports"] == 1


def test_dicomweb_in_and_out(said: dict):
    one = part(said, "over_dicomweb")
    assert one["images"] and one["counts"] == {"SR": 1, "OT": 3, "PR": 1}


def test_the_log_names_no_one(said: dict):
    assert said["log"]["lines"] > 20 and said["log"]["secrets"] == []


def test_sigterm_ends_a_node_in_order(said: dict):
    one = part(said, "stopped")
    assert one["status"] == 0 and one["seconds"] < 20
