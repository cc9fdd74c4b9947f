"""The paper's Table 1 for a run, as CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from raresight.evidence.format import decimal, estimate_text, span
from raresight.evidence.metrics import METRICS, Metric
from raresight.evidence.multiclass import GRADED, PER_CLASS
from raresight.evidence.names import data_title, titles
from raresight.report.figures import SHOWN

GRADED_SHOWN = ("accuracy", "balanced_accuracy", "macro_f1", "quadratic_kappa", "macro_auroc")
"""What the table of a multi-class run shows."""


def table_csv(metrics: Mapping[str, Any], data_name: str) -> str:
    """Write a line a recipe: every metric, its ``_low`` and ``_high``; empty where not defined."""
    kinds, _ = _kinds(metrics)
    names = [f"{name}{part}" for name in kinds for part in ("", "_low", "_high")]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    head = ("recipe", "model", "representation", "balance")
    classes = metrics.get("classes", [])
    each = [f"{name}:{label}" for label in classes for name in PER_CLASS]
    counts = ["n", *(f"n:{label}" for label in classes)] if classes else ["n", "positives"]
    writer.writerow([*head, "dataset", *counts, *names, *each, "seconds_fit", "seconds_predict"])
    for row in metrics["recipes"]:
        cells = [row["metrics"][name][part] for name in kinds for part in ("mean", "low", "high")]
        cells += [row["per_class"][label][name]["mean"] for label in classes for name in PER_CLASS]
        images = [row["n"], *row["counts"].values()] if classes else [row["n"], row["positives"]]
        seconds = (row["seconds"]["fit"], row["seconds"]["predict"])
        numbers = ["" if v is None else f"{v:.6g}" for v in (*cells, *seconds)]
        writer.writerow([*(row[key] for key in head), data_title(data_name), *images, *numbers])
    return stream.getvalue()


def table_md(metrics: Mapping[str, Any], data_name: str) -> str:
    """Write Model | Dataset | Accuracy | Sensitivity | Specificity | F1 | AUROC with 95 % intervals."""
    called, (kinds, shown) = titles(metrics["recipes"]), _kinds(metrics)
    head = ["Model", "Dataset", *(kinds[name].title for name in shown)]
    lines = [head, ["---", "---", *("---:" for _ in shown)]]
    for row in metrics["recipes"]:
        cells = [estimate_text(row["metrics"][name]) for name in shown]
        lines.append([escape_md(called[row["recipe"]]), escape_md(data_title(data_name)), *cells])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def table_tex(metrics: Mapping[str, Any], data_name: str) -> str:
    """Write the same as a LaTeX ``table``, intervals below the values; needs the package booktabs."""
    called, (kinds, shown) = titles(metrics["recipes"]), _kinds(metrics)
    head = " & ".join(["Model", "Dataset", *(kinds[name].title for name in shown)])
    lines = []
    for row in metrics["recipes"]:
        cells = [row["metrics"][name] for name in shown]
        names = [escape_tex(called[row["recipe"]]), escape_tex(data_title(data_name))]
        lines.append(" & ".join([*names, *(escape_tex(decimal(cell["mean"])) for cell in cells)]))
        lines.append(" & ".join(["", "", *(f"\\footnotesize {escape_tex(span(cell))}" for cell in cells)]))
    body = " \\\\\n".join(lines)
    caption = "Out-of-fold performance; 95\\,\\% intervals from a bootstrap over groups."
    return (
        "\\begin{table}\n\\centering\n"
        f"\\caption{{{caption}}}\n"
        f"\\begin{{tabular}}{{ll{'c' * len(shown)}}}\n\\toprule\n{head} \\\\\n\\midrule\n{body} \\\\\n"
        "\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    )


def _kinds(metrics: Mapping[str, Any]) -> tuple[Mapping[str, Metric], tuple[str, ...]]:
    """Give every metric of a run, and those that its table shows."""
    return (GRADED, GRADED_SHOWN) if metrics.get("task") == "multiclass" else (METRICS, SHOWN)


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
