"""The lab is shared by all tests of a session: a recipe is fitted once."""

from __future__ import annotations

import pytest
from fitted_lab import Lab, make_lab


@pytest.fixture(scope="session")
def lab() -> Lab:
    """A small phantom with masks, and recipes fitted on two thirds of it."""
    return make_lab()
