"""Do conformal answers keep their promise, and does any doubt order the errors better than the raw score?

    .venv/bin/python benchmarks/conformal.py [--data ../shared/data] [--out runs/conformal] [--part NAME]

Parts: scores, phantoms, runs, orders (after runs), doubt-SET; each leaves a JSON file in --out, and what is there is not done again. Writes
benchmarks/conformal.md from those. About ten minutes on one idle core, most of it for doubt.
"""

from __future__ import annotations

import argparse
import json
from functools import partial
from pathlib import Path

from parts.conformal_data import orders_part, phantoms_part, runs_part, scores_part
from parts.conformal_doubt import SETS, doubt_part
from parts.conformal_page import write_page

HERE = Path(__file__).parent
PARTS = {
    "scores": scores_part,
    "phantoms": phantoms_part,
    "runs": runs_part,
    "orders": orders_part,
    **{f"doubt-{name}": partial(doubt_part, name) for name in SETS},
}


def main() -> None:
    """Do what is missing, and write."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--data", type=Path, default=Path("../shared/data"))
    options.add_argument("--out", type=Path, default=Path("runs/conformal"))
    options.add_argument("--part", choices=PARTS)
    given = options.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    for name, part in PARTS.items():
        path = given.out / f"{name}.json"
        if given.part in (None, name) and not path.is_file():
            path.write_text(json.dumps(part(given.data, given.out)))
    found = {
        name: json.loads((given.out / f"{name}.json").read_text())
        for name in PARTS
        if (given.out / f"{name}.json").is_file()
    }
    write_page(found, HERE / "conformal.md")


if __name__ == "__main__":
    main()
