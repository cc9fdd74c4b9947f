"""Figures: colours that carry meaning, SVG that fits into a page."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET

import pytest
from PIL import Image

from raresight.report import write_figures
from raresight.report.context import gather
from raresight.report.figures import FIGURES, draw, metrics_figure
from raresight.report.theme import NEUTRAL, PAGE, PAPER, for_page, styles


def luminance(colour: str) -> float:
    """Relative luminance of WCAG 2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_series_can_be_told_from_the_background_in_every_rendering():
    for colour in PAPER.series:
        assert contrast(colour, "#ffffff") >= 4.5
    for colour in (*NEUTRAL.series, NEUTRAL.ink):
        assert contrast(colour, "#ffffff") >= 3 and contrast(colour, "#0d1117") >= 3


def test_the_pages_colours_have_contrast_on_light_and_on_dark():
    from importlib.resources import files

    css = files("raresight.report").joinpath("templates/report.css").read_text()
    light, dark, _ = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    for block in (light, dark):
        colours = dict(re.findall(r"--([\w-]+): (#\w+)", block))
        assert contrast(colours["ink"], colours["page"]) >= 7
        assert contrast(colours["muted"], colours["page"]) >= 4.5
        assert all(contrast(v, colours["page"]) >= 3 for k, v in colours.items() if k.startswith("series"))


def test_a_model_keeps_its_colour_and_a_balance_its_marker(run):
    look = styles(run.metrics["recipes"], PAPER)
    assert look["svm@embedding+none"].colour == look["svm@embedding+smote"].colour
    assert look["svm@embedding+none"].colour != look["cnn@pixels+none"].colour
    assert (
        look["svm@embedding+smote"].marker
        == look["cnn@pixels+smote"].marker
        != look["cnn@pixels+none"].marker
    )


@pytest.mark.parametrize("name", FIGURES)
def test_inline_svg_is_well_formed_and_leaves_colour_font_and_size_to_the_page(shared_run, name):
    _, material = gather(shared_run)
    svg = for_page(draw(FIGURES[name], material, PAGE, name, "svg").decode(), name, 'a "caption" & <more>')
    root = ET.fromstring(svg.replace("xlink:href", "href"))
    assert root.get("aria-label") == 'a "caption" & <more>' and root.get("width") is None
    assert "var(--ink)" in svg and "var(--series-1)" in svg
    assert not re.search(r"#0a00[01]\d", svg) and "DejaVu" not in svg
    ids = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(ids) == len(set(ids)) and all(i.startswith(f"{name}-") for i in ids)
    used = re.findall(r'(?:href="#|url\(#)([^")]+)', svg)
    assert used and set(used) <= set(ids)


def test_the_metrics_figure_shows_every_recipe_with_its_interval_and_the_published_value(run):
    _, material = gather(run)
    figure = metrics_figure(material, PAPER)
    sensitivity = figure.axes[1]
    lines = sensitivity.get_lines()
    for recipe in run.metrics["recipes"]:
        cell = recipe["metrics"]["sensitivity"]
        assert any(list(line.get_xdata()) == [cell["low"], cell["high"]] for line in lines)
        assert any(list(line.get_xdata()) == [cell["mean"]] for line in lines)
    crosses = [line.get_xdata()[0] for line in lines if line.get_marker() == "x"]
    assert crosses == [0.75, 0.815]
    assert sensitivity.get_xlim()[0] <= min(
        r["metrics"]["sensitivity"]["low"] for r in run.metrics["recipes"]
    )


def test_files_are_written_as_svg_and_png(run, tmp_path):
    paths = write_figures(run, tmp_path / "figures")
    assert {p.suffix for p in paths} == {".svg", ".png"} and len(paths) == 2 * len(FIGURES)
    for path in paths:
        if path.suffix == ".png":
            picture = Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
            assert picture.width > 800 and picture.getpixel((0, 0)) == (255, 255, 255)
        else:
            assert ET.parse(path).getroot().tag.endswith("svg")
            text = path.read_text()
            assert NEUTRAL.ink in text and NEUTRAL.series[1] in text and not re.search(r"#0a00[01]", text)
