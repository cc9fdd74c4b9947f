"""imbalanced-learn's own shipped tests, run on raresight's samplers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import imblearn

HERE = Path(__file__).parent
SHIPPED = [
    "over_sampling/_smote/tests/test_smote.py",
    "over_sampling/_smote/tests/test_borderline_smote.py",
    "over_sampling/_smote/tests/test_svm_smote.py",
    "over_sampling/tests/test_adasyn.py",
    "under_sampling/_prototype_selection/tests/test_edited_nearest_neighbours.py",
    "under_sampling/_prototype_selection/tests/test_tomek_links.py",
    "combine/tests/test_smote_enn.py",
    "combine/tests/test_smote_tomek.py",
]


def test_their_tests_pass_on_our_samplers(tmp_path):
    library = Path(imblearn.__file__).parent
    command = [sys.executable, "-m", "pytest", "-p", "shipped_plugin", "-p", "no:cacheprovider", "-rA", "-q"]
    # Their warnings are theirs to mind: the settings of this project stay out of it.
    command += ["-c", os.devnull, "--rootdir", str(tmp_path), *(str(library / name) for name in SHIPPED)]
    environment = os.environ | {"PYTHONPATH": f"{HERE}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "9 xfailed" in done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) >= 27, done.stdout[-2000:]
