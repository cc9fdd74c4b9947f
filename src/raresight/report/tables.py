"""The paper's Table 1 for a run, as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from raresight.evidence.format import decimal, estimate_text, span
from raresight.evidence.metrics import METRICS
from raresight.evidence.names import data_title, titles
from raresight.report.figures import SHOWN


def table_csv(metrics: Mapping[str, Any], data_name: str) -> str:
    """Write one line a recipe with every metric, its ``_low`` and ``_high``; empty where not defined."""
    names = [f"{name}{part}" for name in METRICS for part in ("", "_low", "_high")]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    head = ("recipe", "model", "representation", "balance")
    writer.writerow([*head, "dataset", "n", "positives", *names, "seconds_fit", "seconds_predict"])
    for row in metrics["recipes"]:
        cells = [row["metrics"][name][part] for name in METRICS for part in ("mean", "low", "high")]
        seconds = (row["seconds"]["fit"], row["seconds"]["predict"])
        numbers = ["" if v is None else f"{v:.6g}" for v in (*cells, *seconds)]
        writer.writerow(
            [*(row[key] for key in head), data_title(data_name), row["n"], row["positives"], *numbers]
        )
    return stream.getvalue()


def table_md(metrics: Mapping[str, Any], data_name: str) -> str:
    """Write Model | Dataset | Accuracy | Sensitivity | Specificity | F1 | AUROC with 95 % intervals."""
    called = titles(metrics["recipes"])
    head = ["Model", "Dataset", *(METRICS[name].title for name in SHOWN)]
    lines = [head, ["---", "---", *("---:" for _ in SHOWN)]]
    for row in metrics["recipes"]:
        cells = [estimate_text(row["metrics"][name]) for name in SHOWN]
        lines.append([escape_md(called[row["recipe"]]), escape_md(data_title(data_name)), *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def table_tex(metrics: Mapping[str, Any], data_name: str) -> str:
    """Write the same as a LaTeX ``table``, intervals below the values; needs the package booktabs."""
    called = titles(metrics["recipes"])
    head = " & ".join(["Model", "Dataset", *(METRICS[name].title for name in SHOWN)])
    lines = []
    for row in metrics["recipes"]:
        cells = [row["metrics"][name] for name in SHOWN]
        names = [escape_tex(called[row["recipe"]]), escape_tex(data_title(data_name))]
        lines.append(" & ".join([*names, *(escape_tex(decimal(cell["mean"])) for cell in cells)]))
        lines.append(" & ".join(["", "", *(f"\\footnotesize {escape_tex(span(cell))}" for cell in cells)]))
    body = " \\\\\n".join(lines)
    caption = "Out-of-fold performance; 95\\,\\% intervals from a bootstrap over groups."
    return (
        "\\begin{table}\n\\centering\n"
        f"\\caption{{{caption}}}\n"
        f"\\begin{{tabular}}{{ll{'c' * len(SHOWN)}}}\n\\toprule\n{head} \\\\\n\\midrule\n{body} \\\\\n"
        "\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    )


_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "−": "$-$",
    "–": "--",
    "→": r"$\rightarrow$",
    "√": r"$\surd$",
    "≥": r"$\geq$",
    "Σ": r"$\Sigma$",
    "×": r"$\times$",
}


def escape_tex(text: object) -> str:
    """Make text safe inside LaTeX."""
    return "".join(_TEX.get(c, c) for c in str(text))


def escape_md(text: object) -> str:
    """Make text safe inside a Markdown table."""
    plain = str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", " ")
    return "".join(f"\\{c}" if c in "\\`*_[]|" else c for c in plain)


TABLES = {"csv": table_csv, "md": table_md, "tex": table_tex}
"""Every form of the table, by its file's ending."""
