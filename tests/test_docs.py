"""What the documents say is what was measured."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CELL = re.compile(r"\.\d{3} \(\.\d{3}–\.\d{3}\)")
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


def test_every_interval_in_the_readme_is_in_the_benchmark():
    measured = (ROOT / "benchmarks" / "compare.md").read_text().replace("0.", ".")
    shown = CELL.findall((ROOT / "README.md").read_text())
    assert len(shown) >= 20
    assert not [cell for cell in shown if cell not in measured]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path):
    text = document.read_text()
    targets = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text) + re.findall(r'src="([^"]+)"', text)
    missing = [t for t in targets if "://" not in t and not (document.parent / t).exists()]
    assert not missing


def test_no_figure_in_the_repository_is_large():
    large = [p.name for p in (ROOT / "docs" / "figures").iterdir() if p.stat().st_size > 200_000]
    assert not large
