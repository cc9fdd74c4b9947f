"""Writing a run's report, tables and figures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from markupsafe import Markup

from raresight.errors import OptionError
from raresight.report.context import best_recipe, gather
from raresight.report.figures import FIGURES, Figures, Material, draw, metrics_figure
from raresight.report.gallery import gallery
from raresight.report.graded import GRADED_CAPTION, GRADED_FIGURES, confusion_figure, gather_graded
from raresight.report.page import page, write_whole
from raresight.report.source import Reported
from raresight.report.tables import TABLES, table_md, table_tex
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
    "confusion": "Images by their class (rows) and the class called (columns), a panel a recipe: the number, "
    "below it its share of the class, which the shade shows too; means over repeats.",
    "risk-coverage": "Risk–coverage curves: the share of wrong answers at the default threshold when only "
    "the surest images are answered, by the calibrated probability. The number is the area below.",
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
    context, material = _gather(run)
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
    material = _gather(run)[1]
    home = Path(folder) if folder is not None else run.path / "figures"
    return _write_figures(material, _draw_all(material), home)


def _gather(run: Reported) -> tuple[dict[str, Any], Material]:
    return gather_graded(run) if run.settings.get("task") == "multiclass" else gather(run)


def _figures(material: Material) -> Figures:
    return GRADED_FIGURES if material.classes else FIGURES


def _captions(material: Material) -> dict[str, str]:
    return {**CAPTIONS, "metrics": GRADED_CAPTION} if material.classes else CAPTIONS


def _draw_all(material: Material) -> Drawn:
    """Draw every picture that there is something for, as SVG in placeholder colours."""
    found = {name: draw(make, material, PAGE, name, "svg") for name, make in _figures(material).items()}
    return {name: picture.decode() for name, picture in found.items() if picture is not None}


def _write_figures(material: Material, drawn: Drawn, folder: Path) -> list[Path]:
    paths = []
    for name, svg in drawn.items():
        png = draw(_figures(material)[name], material, PAPER, name, "png")
        for form, content in (("svg", for_file(svg)), ("png", png or b"")):
            paths.append(folder / f"{name}.{form}")
            write_whole(paths[-1], content)
    return paths


def _html(run: Reported, context: dict[str, Any], material: Material, drawn: Drawn) -> str:
    captions = _captions(material)
    makers = {"metrics": metrics_figure, **({"confusion": confusion_figure} if material.classes else {})}
    narrow = {
        f"{name}-narrow": (draw(make, material, PAGE, f"{name}-narrow", "svg", narrow=True) or b"").decode()
        for name, make in makers.items()
    }
    pictures = {
        # Markup: the SVG is ours, and matplotlib escapes the names that it writes into it.
        name: Markup(for_page(svg, name, captions[name.removesuffix("-narrow")]))
        for name, svg in {**drawn, **narrow}.items()
    }
    shown = {} if material.classes else {"gallery": gallery(run, best_recipe(context["recipes"]))}
    return page(
        "html", _template(material, "html"), {**context, "pictures": pictures, "captions": captions, **shown}
    )


def _md(run: Reported, context: dict[str, Any], material: Material, drawn: Drawn) -> str:
    return _plain("md", context, material, drawn, table_md(run.metrics, run.settings["data"]["name"]))


def _tex(run: Reported, context: dict[str, Any], material: Material, drawn: Drawn) -> str:
    return _plain("tex", context, material, drawn, table_tex(run.metrics, run.settings["data"]["name"]))


def _plain(form: str, context: dict[str, Any], material: Material, drawn: Drawn, table: str) -> str:
    captions = {name: _captions(material)[name] for name in drawn}
    return page(form, _template(material, form), {**context, "captions": captions, "table": table})


def _template(material: Material, form: str) -> str:
    return f"{'graded' if material.classes else 'report'}.{form}.j2"


_MAKERS: dict[str, Callable[[Reported, dict[str, Any], Material, Drawn], str]] = {
    "html": _html,
    "md": _md,
    "tex": _tex,
}
