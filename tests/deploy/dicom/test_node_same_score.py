"""What a node reports of an image is what the recipe that compare fits says of it (1e-4)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from pydicom import Dataset
from pydicom.sr.codedict import codes
from ward import Pacs, running, send, until


def groups(content: Dataset) -> Iterator[tuple[str, float]]:
    """Give image and score of every measurement group of a report (TID 1500), the study's first."""
    items = content.get("ContentSequence", [])
    found = [
        float(item.MeasuredValueSequence[0].NumericValue)
        for item in items
        if item.ValueType == "NUM" and item.ConceptNameCodeSequence[0].CodeValue == codes.SCT.Score.value
    ]
    for item in items:
        if found and "ReferencedSOPSequence" in item:
            yield item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID, found[0]
        yield from groups(item)


def test_a_node_reports_the_score_of_compares_own_model(made, predictor, to_pacs, study, pacs: Pacs):
    expected = made.refit.fitted.score(made.refit.store, np.arange(4))
    objects = study(4)
    with running(predictor, to_pacs()) as node:
        assert send(node.receiver.port, objects) == [0] * 4
        until(lambda: node.spool.counts()["done"] == 1)
    of_study, *of_images = groups(next(each for each in pacs.got if "SR" in each.SOPClassUID.name))
    found = dict(of_images)
    scores = [found[each.SOPInstanceUID] for each in objects]
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-4)
    assert of_study[1] == max(scores)
