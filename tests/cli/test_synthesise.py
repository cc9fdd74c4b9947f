from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from raresight.cli.app import app
from raresight.cli.console import guarded


def run(*arguments: str) -> int:
    return guarded(app, ["synthesise", *arguments])


def test_it_draws_a_sheet_and_prints_the_figures(small_set: Path, tmp_path: Path, capsys):
    out = tmp_path / "sheet.png"
    two = "smote,smote[k_neighbors=3,neighbours=pixels]"
    status = run(
        str(small_set), "--balance", two, "--out", str(out), "--count", "2", "--quality-in", "pixels"
    )
    printed = capsys.readouterr().out
    with Image.open(out) as sheet:
        assert status == 0 and sheet.format == "PNG"
    assert f"sheet: {out}" in printed and "smote[k_neighbors=3,neighbours=pixels]" in printed
    assert "coverage" in printed and "distances in pixels" in printed


def test_json_is_one_document_with_every_figure(small_set: Path, tmp_path: Path, capsys):
    out = tmp_path / "sheet.jpg"
    arguments = (str(small_set), "--balance", "smote,eos", "--out", str(out), "--imbalance", "5")
    assert run(*arguments, "--quality-in", "pixels", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["sheet"] == str(out) and document["classes"] == {"normal": 40, "tumour": 8}
    assert [s["balance"] for s in document["samplers"]] == ["smote", "eos"]
    for sampler in document["samplers"]:
        assert sampler["synthetic"] == 32 and sampler["neighbours"] == sampler["blend"] == "pixels"
        assert set(sampler["quality"]) == {
            "rows", "copies", "distance", "other_class", "density", "coverage"
        }  # fmt: skip


@pytest.mark.slow  # exports the backbone where no earlier test has
def test_neighbours_and_figures_come_from_the_embedding_where_nothing_else_is_said(
    small_set: Path, tmp_path: Path, capsys
):
    out = str(tmp_path / "sheet.png")
    assert run(str(small_set), "--balance", "smote[neighbours=embedding]", "--out", out, "--json") == 0
    document = json.loads(capsys.readouterr().out)
    (sampler,) = document["samplers"]
    assert document["quality_in"] == sampler["neighbours"] == "embedding" and sampler["blend"] == "pixels"
    assert 0 < sampler["quality"]["distance"] < 2 and sampler["quality"]["coverage"] > 0.3


def test_the_same_command_draws_the_same_picture(small_set: Path, tmp_path: Path):
    sampler = "latent-smote[steps=3,width=4,latent=4]"
    for name in ("a.png", "b.png"):
        arguments = ("--balance", sampler, "--quality-in", "pixels", "--count", "1")
        assert run(str(small_set), *arguments, "--out", str(tmp_path / name)) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--balance", "none"), "none makes no synthetic image"),
        (("--balance", "enn"), "enn makes no synthetic image"),
        (("--balance", "smotte"), "unknown sampler 'smotte'; did you mean 'smote'?"),
        (("--balance", ","), "name at least one sampler"),
        (("--balance", "smote[k_neighbors=99]"), "k_neighbors"),
        (("--balance", "deepsmote[penalty=mine]"), "penalty"),
        (("--out", "nowhere/sheet.png"), "does not exist"),
        (("--out", "sheet.txt"), "ends in .png or .jpg"),
        (("--count", "0"), "--count 0 is too small"),
        (("--limit", "1"), "--limit 1 is too small"),
        (("--imbalance", "0.5"), "--imbalance 0.5 is below 1"),
        (("--normal", "healthy"), "'healthy'"),
    ],
)
def test_bad_input_is_one_sentence_and_status_two(
    small_set: Path, tmp_path: Path, monkeypatch, capsys, arguments: tuple[str, ...], words: str
):
    monkeypatch.chdir(tmp_path)
    assert run(str(small_set), "--quality-in", "pixels", *arguments) == 2
    captured = capsys.readouterr()
    error = captured.err[captured.err.index("error:") :]
    assert words in error and error.count("\n") == 1 and "Traceback" not in error
    assert captured.out == "" and not list(tmp_path.iterdir())


def test_an_out_that_is_a_folder_is_refused_before_any_work(small_set: Path, tmp_path: Path, capsys):
    (tmp_path / "a.png").mkdir()
    assert run(str(small_set), "--out", str(tmp_path / "a.png")) == 2
    error = capsys.readouterr().err
    assert "is a folder" in error and "checking images" not in error
