"""The report of a run: one page, tables, figures."""

from __future__ import annotations

from raresight.report.ranking import write_ranking
from raresight.report.stress import write_stress
from raresight.report.sweep import write_sweep
from raresight.report.write import write_figures, write_report, write_tables

__all__ = ["write_figures", "write_ranking", "write_report", "write_stress", "write_sweep", "write_tables"]
