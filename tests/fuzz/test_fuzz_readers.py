"""Two thousand spoilt files: each is read or refused, and nothing else; ``make fuzz`` tries more."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

pytest.importorskip("nibabel")
pytest.importorskip("pydicom")
pytest.importorskip("gdcm")

from fuzzing import look, spoil, valid_files

# Outside of tests these libraries only warn of damage, and reading goes on.
pytestmark = pytest.mark.filterwarnings("ignore")

INPUTS = 2200


def test_the_valid_files_are_read():
    refused = {kind for kind, content in valid_files().items() if look(content) == "refused"}
    assert refused == {"dicom deflated", "dicom jpeg 12 bits"}  # the latter GDCM cannot read


def test_spoilt_files_are_read_or_refused():
    outcomes: Counter[str] = Counter()
    kinds = list(valid_files())
    for seed in range(INPUTS):
        kind = kinds[seed % len(kinds)]
        outcomes[look(spoil(kind, np.random.default_rng([0, seed])))] += 1
    assert min(outcomes["read"], outcomes["refused"]) > INPUTS / 20, outcomes
