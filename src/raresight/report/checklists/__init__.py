"""Reporting checklists, filled in as far as a run can."""

from raresight.report.checklists.facts import run_facts
from raresight.report.checklists.fill import CHECKLISTS, Checklist, Item, fill

__all__ = ["CHECKLISTS", "Checklist", "Item", "fill", "run_facts"]
