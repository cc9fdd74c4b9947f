"""benchmarks/conformal.md from what the parts found."""

from __future__ import annotations

from pathlib import Path


def write_page(found: dict[str, list[dict]], path: Path) -> None:
    path.write_text("")
