from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from raresight.images.levels import count_levels, percentiles_of


@given(
    st.sampled_from([np.uint8, np.uint16]).flatmap(lambda kind: arrays(kind, st.integers(1, 60))),
    st.lists(st.floats(0, 100), min_size=1, max_size=4),
)
def test_percentiles_are_numpys_to_the_last_bit(values, shares):
    assert percentiles_of(count_levels(values), shares) == np.percentile(values, shares).tolist()


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_every_level_is_counted(kind):
    values = np.array([[0, 1], [1, np.iinfo(kind).max]], kind)
    counts = count_levels(values)
    assert counts.shape == (np.iinfo(kind).max + 1,)
    assert counts[[0, 1, -1]].tolist() == [1, 2, 1] and counts.sum() == 4
