"""The report: one self-contained page, safe whatever a file is called, the same bytes each time."""

from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import pytest
from PIL import Image

from raresight.errors import OptionError, RunError
from raresight.evidence.format import decimal, span
from raresight.report import write_report
from raresight.report.figures import FIGURES
from raresight.report.gallery import EACH, gallery, judged

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects tags, attributes and text, and checks that every tag is closed in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict]] = []
        self.text = ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


@pytest.fixture(scope="module")
def html(shared_run):
    return write_report(shared_run).read_text()


@pytest.fixture(scope="module")
def markdown(shared_run):
    return write_report(shared_run, None, "md")


@pytest.fixture(scope="module")
def latex(shared_run):
    return write_report(shared_run, None, "tex")


def test_the_page_asks_nothing_of_anyone(html):
    page = Page(html)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "base"}
    for _, attributes in page.tags:
        for key in ("src", "href", "xlink:href", "action"):
            assert attributes.get(key, "#").startswith(("data:image/", "#"))
        assert not any(key.startswith("on") for key in attributes)
    style = "".join(re.findall(r"<style>.*?</style>", html, re.DOTALL))
    assert "@import" not in html and "url(" not in style and "http" not in html


def test_awkward_names_are_shown_as_text_and_never_run(html):
    assert "<script" not in html and "<img src=x" not in html and "<b>DR" not in html
    text = Page(html).text
    assert "images/a&b_<script>alert(1)</script>|$x$.png" in text
    assert "images/<img src=x>.png" in text and "<b>DR</b> 40" in text


def test_nothing_that_names_a_patient_or_a_home_folder_is_in_the_page(html):
    assert "secret" not in html and "jane_doe" not in html


def test_every_number_of_the_table_is_on_the_page(shared_run, html):
    text = Page(html).text
    for row in shared_run.metrics["recipes"]:
        for cell in row["metrics"].values():
            assert decimal(cell["mean"]) in text and decimal(cell["low"]) in text


def test_verdicts_come_first_then_pictures_and_then_tables(shared_run, html):
    marks = ("<h2>Verdicts", "against no resampling", "ranks best", "With SMOTE", "<svg", "<table")
    places = [html.index(mark) for mark in marks]
    assert places == sorted(places)
    assert all(sentence.replace("'", "&#39;") in html for sentence in shared_run.metrics["sentences"])


def test_default_and_learned_thresholds_stand_side_by_side(html):
    text = Page(html).text
    assert "A better ranking, or a moved threshold?" in text
    assert text.index("default") < text.index("youden") < text.index("specificity ≥ 0.95")


def test_probabilities_are_shown_before_and_after_calibration_beside_a_constant(shared_run, html, markdown):
    text = Page(html).text
    for row in shared_run.metrics["recipes"]:
        for name in ("brier", "log_loss", "ece", "calibration_slope", "calibration_intercept"):
            before, after = row["calibration"]["before"][name], row["metrics"][name]["mean"]
            assert before != after
            for page in (text, markdown.read_text()):
                assert f"{decimal(before)} → {decimal(after)}" in page
        assert decimal(row["calibration"]["constant"]["brier"]) in text
    assert "beta calibration (Kull et al. 2017)" in text


def test_the_stated_prevalence_has_predictive_values_and_a_decision_curve(shared_run, html, markdown):
    text = Page(html).text
    for page in (text, markdown.read_text()):
        assert "Where 5 % are anomalous" in page
        for row in shared_run.metrics["recipes"]:
            at = row["at_prevalence"]
            for cell in at["at"]["specificity=0.95"].values():
                assert decimal(cell["mean"]) in page and span(cell) in page
            for place in (4, 9, 19, 39):
                assert decimal(at["decision_curve"]["mean"][place], 4) in page
    assert "net benefit" in text.lower() and "prevalence of 5 %" in text


def test_without_a_stated_prevalence_nothing_is_said_of_one(phantom_run):
    text = Page(write_report(phantom_run).read_text()).text
    assert "are anomalous" not in text and "Net benefit" not in text and "at their word" not in text
    assert not (phantom_run.path / "figures" / "decision-curve.svg").exists()


def test_the_published_table_stands_beside_ours_cell_by_cell(html):
    text = Page(html).text
    assert "SVM (Original), APTOS 2019" in text and "CNN (Original)" not in text
    for value in (".786", ".750", ".822", ".768", ".843", ".815", ".871", ".829"):
        assert value in text


def test_leakage_is_reported_as_it_is_not_as_hoped(run, tmp_path):
    run.receipts[3]["shared_groups"] = 2
    run.receipts[4]["parents_outside"] = 1
    text = Page(write_report(run, tmp_path / "page.html").read_text()).text
    assert "2 groups shared by training and test rows in 12 tasks" in text
    assert "1 parent of 150 synthetic images outside the training fold" in text


def test_the_worst_mistakes_are_the_most_confident_ones(run):
    shown = gallery(run, "svm@embedding+none")
    table = judged(run.predictions, run.thresholds)
    wrong = table[(table["recipe"] == "svm@embedding+none") & table["wrong"] & (table["label"] == 1)]
    assert shown.missed[0].file.startswith("images/a&b_") and shown.missed[0].score == -9.0
    assert shown.missed[0].wrong == 4 == shown.missed[0].recipes
    assert shown.missed_in_all == len(wrong) and len(shown.missed) == min(EACH, len(wrong))
    expected = wrong.sort_values("margin", ascending=False)["file"].head(EACH).tolist()
    assert [mistake.file for mistake in shown.missed] == expected
    assert all(mistake.score >= mistake.threshold for mistake in shown.alarms)
    picture = Image.open(io.BytesIO(base64.b64decode(shown.missed[0].picture.partition(",")[2])))
    assert picture.format == "JPEG" and picture.size == (30, 40)


def test_without_the_pixels_the_report_is_written_without_a_gallery(run_without_pixels):
    html = write_report(run_without_pixels).read_text()
    assert "<img" not in html and "no longer in the cache" in html


def test_a_run_of_one_recipe_without_probabilities_has_a_report_too(phantom_run):
    html = write_report(phantom_run).read_text()
    text = Page(html).text
    assert "phantom:brain?n=120" in text and "published" not in text and "With SMOTE" not in text
    assert not (phantom_run.path / "figures" / "calibration.svg").exists()
    assert "figures/roc" in (text := write_report(phantom_run, None, "md").read_text())
    assert "figures/calibration" not in text


def test_the_same_run_gives_the_same_bytes(run, shared_run, html):
    write_report(run)
    names = {p.name for p in run.path.rglob("*") if p.is_file()}
    assert names == {
        "report.html",
        *(f"table.{form}" for form in ("csv", "md", "tex")),
        *(f"{name}.{form}" for name in FIGURES for form in ("svg", "png")),
    }
    for path in run.path.rglob("*.*"):
        assert path.read_bytes() == (shared_run.path / path.relative_to(run.path)).read_bytes(), path.name


def test_a_path_gets_the_page_alone_and_its_ending_names_the_format(run, tmp_path):
    page = write_report(run, tmp_path / "elsewhere" / "page.html")
    assert [p.name for p in page.parent.iterdir()] == ["page.html"]
    text = write_report(run, tmp_path / "other" / "page.md")
    assert text.read_text().startswith("# aptos\\_2019") and (text.parent / "figures" / "roc.svg").is_file()


def test_without_a_path_the_report_has_its_usual_name_in_the_run(latex):
    assert latex.name == "report.tex"


def test_every_picture_that_markdown_and_latex_name_is_there(markdown, latex):
    for path in (markdown, latex):
        named = re.findall(r"figures/[\w.-]+", path.read_text())
        assert len(named) == len(FIGURES) and all((path.parent / name).is_file() for name in named)


def test_markdown_tables_have_as_many_cells_as_headings(markdown):
    lines = markdown.read_text().splitlines()
    blocks = re.split(r"\n(?!\|)", "\n".join(line for line in lines if line.startswith("|") or not line))
    tables = [b.strip().splitlines() for b in blocks if b.strip()]
    assert len(tables) >= 5
    for table in tables:
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table}
        assert len(table) > 2 and len(widths) == 1, table


def test_latex_escapes_what_latex_would_read(latex):
    text = latex.read_text()
    assert r"aptos\_2019" in text and r"No\_DR" in text and "−" not in text and "→" not in text
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", text):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0
    begun, ended = (re.findall(rf"\\{part}\{{(\w+)\}}", text) for part in ("begin", "end"))
    assert begun and sorted(begun) == sorted(ended)


def test_an_unknown_format_is_refused_by_name(run, tmp_path):
    with pytest.raises(OptionError, match="unknown report format 'pdf'; there are: html, md, tex"):
        write_report(run, tmp_path / "report.pdf")


def test_a_place_that_cannot_be_written_is_one_sentence(run, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot write .*page.html"):
        write_report(run, tmp_path / "file" / "page.html")
    assert not list(tmp_path.rglob(".page*"))
