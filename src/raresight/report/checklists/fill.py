"""Filling checklists in: what each item asks stands beside what the run says to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

CHECKLISTS = ("claim_2024", "tripod_ai")
"""The checklists' files; the wording of the items in them is raresight's own."""

Status = Literal["filled in", "in part", "for a human"]


@dataclass(frozen=True, slots=True)
class Item:
    """One item of a checklist.

    Attributes
    ----------
    number : str
        As the checklist counts: ``12``, ``12a``.
    section, asks : str
    says : str
        What the run says to it; empty if nothing.
    left : str
        What a human has to add where the run says a part.
    status : {"filled in", "in part", "for a human"}
    """

    number: str
    section: str
    asks: str
    says: str
    left: str
    status: Status


@dataclass(frozen=True, slots=True)
class Checklist:
    """A checklist, filled in."""

    name: str
    source: str
    items: tuple[Item, ...]

    def count(self, status: Status) -> int:
        """Count the items of a status."""
        return sum(item.status == status for item in self.items)


def fill(name: str, facts: Mapping[str, str]) -> Checklist:
    """Fill a checklist in.

    Parameters
    ----------
    name : str
        One of `CHECKLISTS`.
    facts : mapping
        What `run_facts` gives. An item whose fact is missing or empty is left for a human.

    Returns
    -------
    Checklist
    """
    read = json.loads(files("raresight.report.checklists").joinpath(f"{name}.json").read_text("utf-8"))
    return Checklist(read["name"], read["source"], tuple(_item(row, facts) for row in read["items"]))


def _item(row: Mapping[str, str], facts: Mapping[str, str]) -> Item:
    says = facts.get(row["fact"], "")
    status: Status = "for a human" if not says else "in part" if row["left"] else "filled in"
    left = row["left"] if says else ""
    return Item(row["item"], row["section"], row["asks"], says, left, status)
