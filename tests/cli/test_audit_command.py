from __future__ import annotations

import json
from pathlib import Path

import pytest

from raresight.cli.app import app
from raresight.cli.console import guarded


def run(*arguments: str) -> int:
    return guarded(app, ["audit", *arguments])


def test_json_is_one_document(small_set: Path, capsys):
    assert run(str(small_set), "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["images"] == 64 and document["classes"] == {"normal": 40, "tumour": 24}
    assert document["shortcuts"] and document["model"]["recipe"] == "svm@embedding"


def test_the_summary_and_the_page(small_set: Path, tmp_path: Path, capsys):
    out = tmp_path / "page.html"
    assert run(str(small_set), "--out", str(out)) == 0
    printed = capsys.readouterr().out
    assert "64 images: 40 normal, 24 tumour" in printed and "svm@embedding" in printed
    assert f"page: {out}" in printed and out.read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--probe", "scanner"), "has no column 'scanner' to probe; there is none beside file and label"),
        (("--probe", "label"), "--probe label is what the probes must guess"),
        (("--normal", "healthy"), "'healthy'"),
        (("--groups", "ward"), "no column 'ward' to group by"),
        (("--out", "page.txt"), "ends in .html"),
    ],
)
def test_bad_input_is_one_sentence_and_status_two(
    small_set: Path, tmp_path: Path, monkeypatch, capsys, arguments: tuple[str, ...], words: str
):
    monkeypatch.chdir(tmp_path)
    assert run(str(small_set), *arguments) == 2
    captured = capsys.readouterr()
    error = captured.err[captured.err.index("error:") :]
    assert words in error and error.count("\n") == 1 and "Traceback" not in error
    assert captured.out == "" and not list(tmp_path.iterdir())


def test_one_class_only_is_one_sentence(tmp_path: Path, small_set: Path, capsys):
    (tmp_path / "only").mkdir()
    (tmp_path / "only/a.png").write_bytes((small_set / "normal/000.png").read_bytes())
    assert run(str(tmp_path)) == 2
    assert "has only the class 'only'" in capsys.readouterr().err
