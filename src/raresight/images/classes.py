"""The order of a multi-class set's classes: grades have one, and quadratic kappa goes by it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from raresight.errors import OptionError

GRADE = "grade"
"""A column of numbers that orders the classes, where each has one number of its own."""


def settle_order(table: pd.DataFrame, named: Sequence[str], name: str) -> tuple[tuple[str, ...], str]:
    """Order the classes of a set: as named, else by their numbers, else by the column ``grade``.

    Parameters
    ----------
    table : pandas.DataFrame
        With ``label``, text.
    named : sequence of str
        Every class once, lowest first; empty where the user named none.
    name : str
        How the user named the set.

    Returns
    -------
    order : tuple of str
        Lowest first; empty where no order is known.
    note : str
        Which order was taken, and by what.

    Raises
    ------
    OptionError
        If `named` is not every class once.
    """
    classes = sorted(set(table["label"]))
    if named:
        _check(classes, named, name)
        order, why = tuple(named), "as named"
    elif (numbers := _numbers(classes)) is not None:
        order, why = tuple(sorted(classes, key=numbers.__getitem__)), "by their numbers"
    elif (grades := _grades(table, classes)) is not None:
        order, why = tuple(sorted(classes, key=grades.__getitem__)), f"by the column {GRADE}"
    else:
        listed = ", ".join(classes)
        return (), f"the classes have no order that is known (--order names it); by the alphabet: {listed}"
    return order, f"the classes in their order, {why}: {', '.join(order)}"


def _check(classes: list[str], named: Sequence[str], name: str) -> None:
    there = f"the classes of {name} are: {', '.join(classes)}"
    for label in named:
        if label not in classes:
            raise OptionError(f"--order names {label!r}, which no image is labelled; {there}")
        if list(named).count(label) > 1:
            raise OptionError(f"--order names {label!r} twice; {there}")
    absent = [label for label in classes if label not in named]
    if absent:
        raise OptionError(f"--order leaves out {', '.join(absent)}; name every class once, lowest first")


def _numbers(classes: list[str]) -> dict[str, float] | None:
    """Read labels as numbers; None where one is none."""
    try:
        found = {label: float(label) for label in classes}
    except ValueError:
        return None
    return found if all(map(math.isfinite, found.values())) else None


def _grades(table: pd.DataFrame, classes: list[str]) -> dict[str, float] | None:
    """Give each class's grade; None where a class has not one, or two share one."""
    if GRADE not in table or not pd.api.types.is_numeric_dtype(table[GRADE]):
        return None
    pairs = table[["label", GRADE]].drop_duplicates()
    if len(pairs) != len(classes) or pairs[GRADE].isna().any() or pairs[GRADE].nunique() != len(classes):
        return None
    return dict(zip(pairs["label"], pairs[GRADE].astype(float), strict=True))
