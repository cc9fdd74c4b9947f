"""SMOTE for images: which space? The same SVM, with SMOTE's neighbours and blend in every pair of spaces.

    .venv/bin/python benchmarks/spaces.py [--data ../shared/data]

Writes benchmarks/spaces.md: for each set, one `raresight compare` with what it printed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent
BALANCE = (
    "none,threshold,smote,smote[neighbours=pixels],smote[blend=pixels],"
    "smote[blend=pixels,neighbours=pixels],smote[neighbours=pca]"
)
COMMANDS = {
    "aptos2019 at 20 : 1": "{data}/aptos2019 --normal No_DR --imbalance 20 --groups off",
    "brain_tumor_yesno at 5 : 1": "{data}/brain_tumor_yesno --imbalance 5 --repeats 4 --groups off",
}
SHOWN = ("auroc", "auprc", "sensitivity", "specificity")


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default=os.environ.get("RARESIGHT_DATA", "../shared/data"))
    data = parser.parse_args().data
    lines = [
        "# SMOTE for images: which space?",
        "",
        f"`python benchmarks/spaces.py`, {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores, "
        f"{platform.machine()}, Python {platform.python_version()}.",
    ]
    for name, arguments in COMMANDS.items():
        options = f"{arguments} --models svm --balance '{BALANCE}'"
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            command = [sys.executable, "-m", "raresight", "compare", *shlex.split(options.format(data=data))]
            done = subprocess.run(
                [*command, "--out", f"{folder}/run", "--json"], stdout=subprocess.PIPE, text=True, check=True
            )
            seconds = time.perf_counter() - start
        lines += [
            "",
            f"## {name}",
            "",
            f"`raresight compare {options.format(data='DATA')}`: {seconds:.0f} s.",
            "",
        ]
        lines += ["| recipe | " + " | ".join(SHOWN) + " |", "|---" * (len(SHOWN) + 1) + "|"]
        for row in json.loads(done.stdout)["recipes"]:
            cells = (row["metrics"][metric] for metric in SHOWN)
            lines.append(
                f"| {row['recipe']} | "
                + " | ".join(f"{c['mean']:.3f} ({c['low']:.3f}–{c['high']:.3f})" for c in cells)
                + " |"
            )
    (HERE / "spaces.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
