from __future__ import annotations

import json
from pathlib import Path

import pytest

import raresight as rs
from raresight.audit import PROBES
from raresight.images.load import load
from raresight.images.manifest import make_manifest
from raresight.progress import silent


def test_the_document_has_every_key_and_is_json(audit: rs.Audit):
    found = audit.as_dict()
    assert json.loads(json.dumps(found)) == found
    assert {
        "images", "rejected", "classes", "duplicates", "split_twins", "groups", "label_errors", "shortcuts",
        "model",
    } <= set(found)  # fmt: skip
    assert found["images"] == 64 and found["classes"] == {"healthy": 32, "ill": 32}
    assert found["normal"] == ["healthy"] and found["imbalance"]["normal_to_anomalous"] == 1
    for row in [*found["shortcuts"], found["model"]]:
        assert set(row["auroc"]) == set(row["accuracy"]) == {"mean", "low", "high"}
    assert {row["probe"] for row in found["shortcuts"]} == set(PROBES)
    means = [row["auroc"]["mean"] for row in found["shortcuts"]]
    assert means == sorted(means, reverse=True)


def test_the_planted_shortcut_is_the_first_sentence_or_among_them(audit: rs.Audit):
    border = next(row for row in audit.as_dict()["shortcuts"] if row["probe"] == "border")
    assert border["auroc"]["mean"] >= 0.9 and border["auroc"]["low"] > 0.6
    text = next(row for row in audit.as_dict()["shortcuts"] if row["probe"] == "text")
    assert text["auroc"]["mean"] <= 0.65
    assert any("black border alone tells ill from the rest" in s for s in audit.sentences)


def test_duplicates_their_contradiction_and_twins_across_the_split(audit: rs.Audit):
    found = audit.as_dict()
    groups = {tuple(group["files"]): group for group in found["duplicates"]["groups"]}
    for label in ("healthy", "ill"):
        group = groups[f"{label}/00.png", f"{label}/copy.png"]
        assert group["kind"] == "exact" and not group["contradictory"]
        assert group["splits"] == ["train", "test"]
    both = groups["healthy/both.png", "ill/both.png"]
    assert both["contradictory"] and both["labels"] == ["healthy", "ill"]
    assert {"test": "ill/copy.png", "train": "ill/00.png"} in found["split_twins"]
    assert found["groups"]["mixed"] >= 1


def test_an_unreadable_file_is_listed_and_stops_nothing(audit: rs.Audit):
    (rejected,) = audit.as_dict()["rejected"]
    assert rejected["file"] == "ill/broken.png" and rejected["reason"]


def test_no_patient_is_named(audit: rs.Audit):
    assert "SECRET" not in json.dumps(audit.as_dict())


def test_a_second_call_trains_nothing_and_finds_the_same(planted_set: Path, audit: rs.Audit, monkeypatch):
    monkeypatch.setattr("raresight.audit.audit._judge", None)
    again = rs.audit_images(rs.load(planted_set), probe=["site"])
    assert again.as_dict() == audit.as_dict()


def test_a_column_that_gives_the_label_away_is_found_by_the_files_probe(planted_set: Path):
    found = rs.audit_images(rs.load(planted_set), probe=["scanner"]).as_dict()
    files = next(row for row in found["shortcuts"] if row["probe"] == "files")
    assert files["auroc"]["mean"] >= 0.99 and files["accuracy"]["mean"] >= 0.95


def test_without_probes_only_duplicates_and_groups_are_sought(planted_set: Path, audit: rs.Audit):
    steps: list[str] = []

    def noting(step: str, total: int):
        steps.append(step)
        return silent(step, total)

    quick = rs.audit_images(rs.load(planted_set), probes=False, progress=noting).as_dict()
    assert quick["shortcuts"] == quick["label_errors"] == [] and quick["model"] == {}
    assert quick["duplicates"] == audit.as_dict()["duplicates"]
    assert not {"embedding images", "judging shortcuts", "training the model"} & set(steps)


def test_groups_off_leaves_every_image_by_itself(planted_set: Path):
    images = rs.load(planted_set)
    joined = rs.audit_images(images, probes=False)
    alone = rs.audit_images(images, probes=False, groups="off")
    assert alone.as_dict()["groups"]["count"] == 64 > joined.as_dict()["groups"]["count"]
    assert len(alone.groups) == 64


def test_without_a_normal_class_each_class_stands_against_the_rest():
    images = rs.load("phantom:brain?n=60&size=64&anomalies=0.5")
    table = images.table.assign(label=["abc"[i % 3] for i in range(60)], group=range(60))
    images = make_manifest(table, images.source, "three", need_normal=False)
    assert images.task == "multiclass" and images.normal == ()
    found = rs.audit_images(images).as_dict()
    assert {row["class"] for row in found["shortcuts"]} == {"a", "b", "c"}
    assert len(found["model"]["classes"]) == 3 and "auroc" not in found["model"]


def test_a_class_with_too_few_patients_is_left_out_with_a_sentence():
    images = rs.load("phantom:brain?n=40&size=64&anomalies=0.5")
    labels = ["a"] * 18 + ["b"] * 18 + ["rare"] * 4
    table = images.table.assign(label=labels, group=range(40))
    found = rs.audit_images(make_manifest(table, images.source, "rare", need_normal=False))
    assert {row["class"] for row in found.as_dict()["shortcuts"]} == {"b"}
    assert any("Class 'rare' has 4 groups (patients) and is left out" in s for s in found.sentences)


def test_too_few_images_of_every_class_is_a_sentence_and_no_error():
    found = rs.audit_images(rs.load("phantom:brain?n=6&size=64&anomalies=0.5"))
    assert found.as_dict()["shortcuts"] == []
    assert any("fewer than two classes have 5 groups" in s for s in found.sentences)


def test_load_needs_no_normal_class_for_an_audit(planted_set: Path, tmp_path: Path):
    for label in "abc":
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.png").write_bytes((planted_set / "ill/01.png").read_bytes())
    with pytest.raises(rs.DataError, match="--normal"):
        load(tmp_path)
    assert load(tmp_path, need_normal=False).task == "multiclass"
    assert load(tmp_path, need_normal=False, normal=["a"]).normal == ("a",)
    assert load(planted_set, need_normal=False).normal == ("healthy",)


def test_the_page_shows_what_was_found_and_no_patient(audit: rs.Audit, tmp_path: Path):
    from raresight.report.audit import write_audit

    page = write_audit(audit, tmp_path / "audit.html").read_text()
    assert "SECRET" not in page and "http://" not in page and "https://" not in page
    for words in (
        "Duplicates that contradict each other",
        "Twins across the published split",
        "ill/broken.png",
    ):
        assert words in page
    assert page.count("data:image/jpeg;base64,") >= 6 and 'class="axis found"' in page
