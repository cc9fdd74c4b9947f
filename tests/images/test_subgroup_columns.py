"""Subgroups made of a manifest's columns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from raresight.errors import OptionError
from raresight.images.load import load
from raresight.images.manifest import ClosedSource, Manifest
from raresight.images.subgroups import UNKNOWN, subgroups_of


def manifest(**columns) -> Manifest:
    n = len(next(iter(columns.values())))
    table = pd.DataFrame({"file": [f"{i}.png" for i in range(n)], "label": "no", **columns})
    return Manifest(table, ClosedSource(), "scans", ("no",))


def test_values_and_bins_and_what_is_missing():
    images = manifest(
        sex=["F", " M ", None, ""], age=[20, 29.9, np.nan, 100], dose=["0.25", "0.5", "much", "0.74"]
    )
    found = subgroups_of(images, ["sex", "age:10", "dose:0.5"])
    assert found["row"].tolist() == [0, 1, 2, 3]
    assert found["sex"].tolist() == ["F", "M", UNKNOWN, UNKNOWN]
    assert found["age:10"].tolist() == ["20–29", "20–29", UNKNOWN, "100–109"]
    assert found["dose:0.5"].tolist() == ["0 to 0.5", "0.5 to 1", UNKNOWN, "0.5 to 1"]


def test_phantoms_have_columns_to_divide_by():
    found = subgroups_of(load("phantom:brain?n=80&seed=1"), ["sex", "site", "age:20"])
    assert set(found["sex"]) == {"F", "M"} and found["site"].nunique() == 3
    assert set(found["age:20"]) <= {"20–39", "40–59", "60–79", "80–99"}


@pytest.mark.parametrize(
    ("by", "said"),
    [
        ("age", "write --by age:10 for bins of ten"),
        ("height", "no column 'height'; there are: age, sex, patient_code"),
        ("file", "is no property of a patient"),
        ("group", "is no property of a patient"),
        ("patient_code", "makes 40 subgroups, and 20 are the most"),
        ("sex:10", "does not hold numbers"),
        ("age:0", "needs a width above 0"),
        ("age:ten", "needs a width above 0"),
        (":10", "cannot read --by"),
    ],
)
def test_what_makes_no_subgroup_is_refused(by, said):
    images = manifest(age=list(range(20, 60)), sex=["F", "M"] * 20, patient_code=[f"p{i}" for i in range(40)])
    with pytest.raises(OptionError, match=said):
        subgroups_of(images, [by])
