"""Do two images and a table together beat each alone, also with some of them missing?

    .venv/bin/python benchmarks/fusion.py

Writes benchmarks/fusion.md: `fusion` on a phantom with two contrasts and a marker, against each block alone,
on the same folds, with paired differences.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import raresight as rs

HERE = Path(__file__).parent
PHANTOM = "phantom:brain?n=300&anomalies=0.3&difficulty={}&modalities=t1,flair&slices=1&missing={}"
SETTINGS = ((0.2, 0.0), (0.2, 0.2), (0.4, 0.0), (0.4, 0.2))
"""Difficulty of the lesions, and share of images and markers that are missing."""
TABLE = "table=marker+age+sex"
SPACES = {
    "all": f"cases[{TABLE}]",
    "t1": "cases[modalities=t1]",
    "flair": "cases[modalities=flair]",
    "table": f"cases[modalities=none,{TABLE}]",
}


def main() -> None:
    """Compare, judge and write."""
    lines = ["# Fusion against each block alone", "", "`python benchmarks/fusion.py`"]
    for difficulty, missing in SETTINGS:
        phantom = PHANTOM.format(difficulty, missing)
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            run = rs.compare(
                rs.load(phantom),
                ["fusion"],
                ["none"],
                representation=list(SPACES.values()),
                workers=1,
                out=f"{folder}/run",
            )
            lines += _section(run.predictions, phantom, time.perf_counter() - start)
    (HERE / "fusion.md").write_text("\n".join(lines) + "\n")


def _section(predictions, phantom: str, seconds: float) -> list[str]:
    from sklearn.metrics import roc_auc_score

    told = ["", f"## `{phantom}`", "", f"{seconds:.0f} s.", ""]
    ids = list(predictions["recipe"].unique())
    for recipe in ids:
        own = predictions[predictions["recipe"] == recipe]
        told.append(f"- `{recipe}`: AUROC {roc_auc_score(own['label'], own['score']):.3f}")
    for other in ids[1:]:
        pair = predictions[predictions["recipe"].isin([ids[0], other])]
        judged = rs.judge(pair, baseline=other)
        told += [f"- {v['sentence']}" for v in judged.verdicts if v["metric"] in ("auroc", "auprc")]
    return told


if __name__ == "__main__":
    main()
