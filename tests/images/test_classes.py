"""The order of a multi-class set's classes."""

from __future__ import annotations

import pandas as pd
import pytest

from raresight.errors import OptionError
from raresight.images.classes import settle_order
from raresight.images.manifest import make_manifest


def table(labels: list[str], **columns: list[object]) -> pd.DataFrame:
    return pd.DataFrame({"file": [f"{i}.png" for i in range(len(labels))], "label": labels, **columns})


def test_the_order_is_as_named():
    order, note = settle_order(table(["b", "a", "c"]), ["c", "a", "b"], "set")
    assert order == ("c", "a", "b") and "as named: c, a, b" in note


def test_numbers_are_ordered_as_numbers():
    assert settle_order(table(["10", "9", "-1", "2.5"]), (), "set")[0] == ("-1", "2.5", "9", "10")


def test_a_column_of_grades_orders_names():
    graded = table(["Severe", "None", "Mild", "None"], grade=[2, 0, 1, 0])
    order, note = settle_order(graded, (), "set")
    assert order == ("None", "Mild", "Severe") and "by the column grade" in note


@pytest.mark.parametrize("grade", [[2, 0, 1, 3], [0, 0, 0, 0], [2, None, 1, None], ["x", "y", "z", "y"]])
def test_grades_that_do_not_fit_order_nothing(grade: list[object]):
    order, note = settle_order(table(["Severe", "None", "Mild", "None"], grade=grade), (), "set")
    assert order == () and "no order that is known" in note


@pytest.mark.parametrize(
    ("named", "words"),
    [(["a", "b", "d"], "names 'd'"), (["a", "b", "b", "c"], "'b' twice"), (["a", "c"], "leaves out b")],
)
def test_an_order_of_other_classes_is_refused(named: list[str], words: str):
    with pytest.raises(OptionError, match=words):
        settle_order(table(["a", "b", "c"]), named, "set")


def test_classes_and_labels_follow_the_order_and_survive_a_lost_class():
    manifest = make_manifest(
        table(["b", "a", "c"]),
        None,
        "set",
        task="multiclass",
        order=["c", "b", "a"],  # type: ignore[arg-type]
    )
    assert manifest.classes == ["c", "b", "a"] and manifest.y.tolist() == [1, 2, 0]
    assert manifest.take([1, 2]).classes == ["c", "a"] and manifest.take([1, 2]).y.tolist() == [1, 0]


def test_an_order_goes_with_several_classes_only():
    with pytest.raises(OptionError, match="--task multiclass"):
        make_manifest(table(["no", "yes"]), None, "set", order=["no", "yes"])  # type: ignore[arg-type]
