from __future__ import annotations

import numpy as np
import pytest
from fitted_lab import Lab

from raresight.errors import OptionError
from raresight.explain.base import explain_images
from raresight.explain.sanity import (
    Sanity,
    compare_with_random,
    rank_correlation,
    shuffle_labels,
    shuffle_weights,
)


@pytest.mark.parametrize("name", ["cnn", "padim", "ae"])
def test_shuffled_weights_are_the_same_numbers_and_another_map(lab: Lab, name: str):
    fitted = lab.fitted(name)
    blind = shuffle_weights(fitted)
    if name == "padim":
        before, after = fitted.detector.centre_, blind.detector.centre_
    else:
        before, after = (
            max(f.detector.network_.parameters(), key=lambda p: p.numel()).detach().numpy()
            for f in (fitted, blind)
        )
    assert (np.sort(before, axis=None) == np.sort(after, axis=None)).all() and (before != after).any()
    maps = [explain_images(each, lab.store, lab.ill).heatmaps for each in (fitted, blind)]
    assert rank_correlation(*maps, lab.store.pixels[lab.ill]) < 0.9


def test_shuffled_labels_leave_a_map_that_finds_nothing(lab: Lab):
    fitted = lab.fitted("logistic")
    blind = shuffle_labels(fitted, lab.store)
    assert (blind.rows == fitted.rows).all() and lab.store.manifest.y[fitted.rows].sum() > 0
    maps = [explain_images(each, lab.store, lab.ill).heatmaps for each in (fitted, blind)]
    masks = np.asarray(lab.store.masks[lab.ill])
    sanity = compare_with_random(*maps, lab.store.pixels[lab.ill], masks)
    assert sanity.destroyed and sanity.correlation < 0.5
    same = compare_with_random(maps[0], maps[0], lab.store.pixels[lab.ill], masks)
    assert same.correlation == pytest.approx(1) and not same.destroyed


def test_a_map_is_gone_only_if_it_is_another_and_no_better_than_chance():
    assert Sanity(correlation=0.1, pointing=0.1, null=0.1, images=50).destroyed
    assert not Sanity(correlation=0.9, pointing=0.1, null=0.1, images=50).destroyed
    assert not Sanity(correlation=0.1, pointing=0.5, null=0.1, images=50).destroyed


def test_what_has_nothing_to_shuffle_says_so(lab: Lab):
    with pytest.raises(OptionError, match="shuffle its labels instead"):
        shuffle_weights(lab.fitted("logistic"))
    with pytest.raises(OptionError, match="shuffle its weights instead"):
        shuffle_labels(lab.fitted("padim"), lab.store)
