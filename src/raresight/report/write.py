"""Writing a run's report, tables and figures."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jinja2
from markupsafe import Markup

from raresight.errors import OptionError, RunError
from raresight.evidence.format import decimal, estimate_text, span
from raresight.report.context import best_recipe, count, gather
from raresight.report.figures import FIGURES, Material, draw, metrics_figure
from raresight.report.gallery import gallery
from raresight.report.source import Reported
from raresight.report.tables import TABLES, escape_md, escape_tex, table_md, table_tex
from raresight.report.theme import PAGE, PAPER, for_file, for_page

Format = Literal["html", "md", "tex"]
Drawn = dict[str, str]
"""Figure's name → SVG in placeholder colours."""

CAPTIONS = {
    "metrics": "Each recipe's metrics at its default threshold, and AUROC, with 95 % intervals.",
    "roc": "ROC curves; the marker is where the recipe's default threshold works.",
    "precision-recall": "Precision–recall curves; the dotted line is what guessing reaches.",
    "calibration-before": "Detectors' own probabilities; on the dotted line they can be taken at their word.",
    "calibration": "The same after calibration and correction to the set's own prevalence.",
    "decision-curve": "Net benefit at the stated prevalence; grey: acting on nobody, dotted on everybody.",
}


def write_report(run: Reported, path: str | Path | None = None, format: Format | None = None) -> Path:
    """Write the report of a run.

    Parameters
    ----------
    run : Run
    path : path, optional
        The file to write, or a folder for it. Without it everything goes into the run's folder: the
        report, ``table.csv|md|tex`` and ``figures/*.svg|png``.
    format : {"html", "md", "tex"}, optional
        By default what the path's ending says, else a page. The page is one self-contained file;
        Markdown and LaTeX refer to a folder ``figures`` beside them, which is written too.

    Returns
    -------
    Path
        The report.

    Raises
    ------
    OptionError
        If there is no such format.
    RunError
        If the file cannot be written.
    """
    form = format or (Path(path).suffix[1:] if path is not None and Path(path).suffix else "html")
    if form not in _MAKERS:
        raise OptionError(f"unknown report format {form!r}; there are: {', '.join(_MAKERS)}")
    target = Path(path) if path is not None else run.path
    if target.is_dir():
        target = target / f"report.{form}"
    context, material = gather(run)
    drawn = _draw_all(material)
    if path is None:
        write_tables(run)
    if path is None or form != "html":
        _write_figures(material, drawn, target.parent / "figures")
    write_whole(target, _MAKERS[form](run, context, material, drawn))
    return target


def write_tables(run: Reported, folder: str | Path | None = None) -> list[Path]:
    """Write ``table.csv``, ``table.md`` and ``table.tex``, by default into the run's folder.

    Raises
    ------
    RunError
        If a file cannot be written.
    """
    home = Path(folder) if folder is not None else run.path
    paths = [home / f"table.{form}" for form in TABLES]
    for path, make in zip(paths, TABLES.values(), strict=True):
        write_whole(path, make(run.metrics, run.settings["data"]["name"]))
    return paths


def write_figures(run: Reported, folder: str | Path | None = None) -> list[Path]:
    """Write every figure as SVG (transparent) and PNG (white), by default into the run's ``figures``.

    Raises
    ------
    RunError
        If a file cannot be written.
    """
    material = gather(run)[1]
    home = Path(folder) if folder is not None else run.path / "figures"
    return _write_figures(material, _draw_all(material), home)


def _draw_all(material: Material) -> Drawn:
    """Draw every picture that there is something for, as SVG in placeholder colours."""
    found = {name: draw(make, material, PAGE, name, "svg") for name, make in FIGURES.items()}
    return {name: picture.decode() for name, picture in found.items() if picture is not None}


def _write_figures(material: Material, drawn: Drawn, folder: Path) -> list[Path]:
    paths = []
    for name, svg in drawn.items():
        png = draw(FIGURES[name], material, PAPER, name, "png")
        for form, content in (("svg", for_file(svg)), ("png", png or b"")):
            paths.append(folder / f"{name}.{form}")
            write_whole(paths[-1], content)
    return paths


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all; raises `RunError` where that cannot be."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_bytes(content.encode() if isinstance(content, str) else content)
        scratch.replace(path)
    except OSError as error:
        if scratch.exists():
            scratch.unlink()
        raise RunError(
            f"cannot write {path} ({error.strerror or error}); name another place for it"
        ) from error


def _html(run: Reported, context: dict[str, Any], material: Material, drawn: Drawn) -> str:
    narrow = draw(metrics_figure, material, PAGE, "metrics-narrow", "svg", narrow=True) or b""
    pictures = {
        # Markup: the SVG is ours, and matplotlib escapes the names that it writes into it.
        name: Markup(for_page(svg, name, CAPTIONS[name.removesuffix("-narrow")]))
        for name, svg in {**drawn, "metrics-narrow": narrow.decode()}.items()
    }
    shown = gallery(run, best_recipe(context["recipes"]))
    template = _environment("html").get_template("report.html.j2")
    return template.render(context, pictures=pictures, captions=CAPTIONS, gallery=shown)


def _md(run: Reported, context: dict[str, Any], material: Material, drawn: Drawn) -> str:
    return _plain("md", context, drawn, table_md(run.metrics, run.settings["data"]["name"]))


def _tex(run: Reported, context: dict[str, Any], material: Material, drawn: Drawn) -> str:
    return _plain("tex", context, drawn, table_tex(run.metrics, run.settings["data"]["name"]))


def _plain(form: str, context: dict[str, Any], drawn: Drawn, table: str) -> str:
    captions = {name: CAPTIONS[name] for name in drawn}
    return (
        _environment(form).get_template(f"report.{form}.j2").render(context, captions=captions, table=table)
    )


_MAKERS: dict[str, Callable[[Reported, dict[str, Any], Material, Drawn], str]] = {
    "html": _html,
    "md": _md,
    "tex": _tex,
}


def page(form: str, template: str, context: dict[str, Any]) -> str:
    """Fill a template in; text is escaped for its form."""
    return _environment(form).get_template(template).render(context)


@cache
def _environment(form: str) -> jinja2.Environment:
    # LaTeX is full of braces: its template has other signs.
    signs: dict[str, Any] = {
        "block_start_string": "<%",
        "block_end_string": "%>",
        "variable_start_string": "<<",
        "variable_end_string": ">>",
        "comment_start_string": "<#",
        "comment_end_string": "#>",
    }
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("raresight.report"),
        autoescape=form == "html",
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **(signs if form == "tex" else {}),
    )
    environment.filters.update(
        decimal=decimal, span=span, estimate=estimate_text, md=escape_md, tex=escape_tex, count=count
    )
    return environment
